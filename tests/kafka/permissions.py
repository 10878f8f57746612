"""The commands of eventkit/kafka/SECURITY.md, as the permissions that they give."""

import argparse
import re
import shlex
from collections.abc import Callable, Iterable
from time import monotonic, sleep
from typing import Any, NamedTuple

from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from tests.kafka.clients import SECONDS
from tests.unit.source import ROOT

GUIDE = ROOT / "eventkit" / "kafka" / "SECURITY.md"

_KINDS = {
    "topic": ResourceType.TOPIC,
    "transactional_id": ResourceType.TRANSACTIONAL_ID,
    "group": ResourceType.GROUP,
}
_OPERATIONS = {
    "Read": AclOperation.READ,
    "Write": AclOperation.WRITE,
    "Create": AclOperation.CREATE,
    "Describe": AclOperation.DESCRIBE,
    "DescribeConfigs": AclOperation.DESCRIBE_CONFIGS,
}


class Permission(NamedTuple):
    """One thing that one user may do."""

    user: str
    operation: str
    kind: str
    name: str
    prefixed: bool

    def binding(self, prefix: str) -> AclBinding:
        """The ACL, in a log whose topics begin with `prefix`."""
        pattern = ResourcePatternType.PREFIXED if self.prefixed else ResourcePatternType.LITERAL
        name = f"{prefix}{self.name}" if self.kind in {"topic", "group"} else self.name
        return AclBinding(
            _KINDS[self.kind],
            name,
            pattern,
            f"User:{self.user}",
            "*",
            _OPERATIONS[self.operation],
            AclPermissionType.ALLOW,
        )

    def __str__(self) -> str:
        return f"{self.operation}:{self.name}"


def permissions(role: str) -> list[Permission]:
    """What the commands of a role give."""
    section = GUIDE.read_text(encoding="utf-8").split(f"### {role}\n")[1].split("\n### ")[0]
    return [
        permission
        for line in re.findall(r"^kafka-acls\.sh \$KAFKA --add (.*)$", section, re.MULTILINE)
        for permission in _of_command(line)
    ]


def _of_command(line: str) -> Iterable[Permission]:
    parser = argparse.ArgumentParser()
    parser.add_argument("--allow-principal", required=True)
    parser.add_argument("--operation", action="append", choices=_OPERATIONS)
    parser.add_argument("--resource-pattern-type", default="literal")
    for kind in _KINDS:
        parser.add_argument(f"--{kind.replace('_', '-')}", action="append", default=[])
    given = parser.parse_args(shlex.split(line))
    user = given.allow_principal.removeprefix("User:")
    prefixed = given.resource_pattern_type == "prefixed"
    for kind in _KINDS:
        for name in getattr(given, kind):
            for operation in given.operation:
                yield Permission(user, operation, kind, name, prefixed)


class Acls:
    """The ACLs of a cluster, of which the tests are the only owners.

    Parameters:
        admin: may do all.
    """

    def __init__(self, admin: AdminClient) -> None:
        self._admin = admin
        anything: Any = None
        self._all = AclBindingFilter(
            ResourceType.ANY, anything, ResourcePatternType.ANY, anything, anything,
            AclOperation.ANY, AclPermissionType.ANY,
        )  # fmt: skip

    def give(self, some: Iterable[Permission], prefix: str) -> None:
        """Make these the only ones there are."""
        self.clear()
        bindings = {permission.binding(prefix) for permission in some}
        if bindings:
            for made in self._admin.create_acls(list(bindings)).values():
                made.result(SECONDS)
        self._await(lambda: len(self._found()) == len(bindings))

    def clear(self) -> None:
        """Take all away."""
        for gone in self._admin.delete_acls([self._all]).values():
            gone.result(SECONDS)
        self._await(lambda: not self._found())

    def _found(self) -> list[AclBinding]:
        found: list[AclBinding] = self._admin.describe_acls(self._all).result(SECONDS)
        return found

    @staticmethod
    def _await(reached: Callable[[], bool]) -> None:
        deadline = monotonic() + SECONDS
        while not reached():
            assert monotonic() < deadline
            sleep(0.01)
