"""`eventkit schemas`."""

import json

from tests.acceptance.cli_kit import Cli

HOTEL_CONTRACTS = {
    "ExtraOrdered.avsc",
    "GuestArrived.avsc",
    "GuestLeft.avsc",
    "Metadata.avsc",
}


def test_export_writes_a_contract_for_each_event_and_record(cli: Cli) -> None:
    folder = cli.folder / "schemas"
    done = cli("schemas", "export", "--folder", folder)
    assert (done.code, done.out) == (0, f"4 contracts in {folder}\n")
    assert {path.name for path in folder.iterdir()} == HOTEL_CONTRACTS
    contract = json.loads((folder / "GuestArrived.avsc").read_text())
    assert [field["name"] for field in contract["fields"]] == ["name", "nights"]


def test_check_is_content_with_what_export_wrote(cli: Cli) -> None:
    folder = cli.folder / "schemas"
    cli("schemas", "export", "--folder", folder)
    done = cli("schemas", "check", "--folder", folder)
    assert (done.code, done.out) == (0, f"4 contracts in {folder} fit their classes\n")


def test_check_names_each_contract_that_does_not_fit(cli: Cli) -> None:
    folder = cli.folder / "schemas"
    cli("schemas", "export", "--folder", folder)
    (folder / "GuestLeft.avsc").unlink()
    (folder / "GuestArrived.avsc").write_text("{}")
    done = cli("schemas", "check", "--folder", folder)
    assert done.code == 1
    assert done.err.splitlines()[:2] == [
        f"{folder}: GuestArrived.avsc differs from its class",
        f"{folder}: GuestLeft.avsc is missing",
    ]
