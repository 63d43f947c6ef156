"""Target groups of AWS balancers as clusters."""

import re
from typing import Any

from lbjwt.imports.common import seconds
from lbjwt.imports.draft import Draft, Noted, no_endpoints
from lbjwt.imports.findings import Findings
from lbjwt.imports.reading import Value


class TargetGroups:
    """The target groups of a file. One becomes a cluster when a rule forwards to it."""

    def __init__(self, parts: list[tuple[str, str, Value]], draft: Draft, findings: Findings) -> None:
        self._groups = {name: value for kind, name, value in parts if kind == "TargetGroup"}
        self._targets: dict[str, list[Value]] = {}
        for kind, name, value in parts:
            if kind == "Targets":
                owner = name or (next(iter(self._groups)) if len(self._groups) == 1 else "")
                if not owner:
                    findings.left_out(
                        value.place,
                        'targets of an unknown group; add its "TargetGroupArn" beside TargetHealthDescriptions',
                    )
                self._targets.setdefault(owner, []).extend(
                    one
                    for health in value.members("TargetHealthDescriptions")
                    if (one := health.get("Target")) is not None
                )
        self._draft = draft
        self._findings = findings
        self._labels: dict[str, str] = {}

    def cluster(self, action: Value) -> Any:
        """The cluster, or the split, of a forward action; None, with a finding, when it has none that lbjwt could use."""
        weighted = action.members("ForwardConfig", "TargetGroups")
        shares: dict[str, int] = {}
        for one in weighted:
            label = self._label(reference(one.get("TargetGroupArn")), one)
            weight = one.whole("Weight")
            if label is not None:
                shares[label] = 1 if weight is None else weight
        if not weighted:
            label = self._label(reference(action.get("TargetGroupArn")), action)
            return label
        stick = action.get("ForwardConfig", "TargetGroupStickinessConfig", "Enabled")
        if stick is not None and stick.data is True and len(shares) > 1:
            self._findings.left_out(
                stick.place, "stickiness between target groups; write by: claim:sub or by: client_address in the split"
            )
        if len(shares) == 1:
            return next(iter(shares))
        return {"split": shares} if any(shares.values()) else None

    def _label(self, name: str, at: Value) -> str | None:
        if name in self._labels:
            return self._labels[name]
        group = self._groups.get(name)
        if group is None:
            short = re.sub(r".*:targetgroup/([^/]+)/.*", r"\1", name)
            self._findings.left_out(
                at.place, f"the target group {short}, which this file does not have; write its endpoints"
            )
            made: dict[str, Any] = {"endpoints": no_endpoints()}
            self._labels[name] = self._draft.add_cluster(short, made)
            return self._labels[name]
        if group.text("TargetType") == "lambda":
            self._findings.left_out(group.place, "a Lambda function as target; lbjwt forwards to HTTP servers")
            return None
        self._labels[name] = self._draft.add_cluster(
            group.text("TargetGroupName") or group.text("Name") or name, self._made(name, group)
        )
        return self._labels[name]

    def _made(self, name: str, group: Value) -> dict[str, Any]:
        https = group.text("Protocol") == "HTTPS"
        port = group.text("Port") or "80"
        made: dict[str, Any] = {"endpoints": []}
        for target in [*group.members("Targets"), *self._targets.get(name, [])]:
            identity = target.text("Id")
            authority = f"{f'[{identity}]' if ':' in identity else identity}:{target.text('Port') or port}"
            address: Any = f"https://{authority}" if https else authority
            if identity.startswith("i-"):
                self._findings.left_out(target.place, f"the address of the instance {identity}; write it")
                address = Noted(address, "write the address of the instance")
            if address not in [one["address"] for one in made["endpoints"]]:
                made["endpoints"].append({"address": address})
        if not made["endpoints"]:
            self._findings.left_out(
                group.place, "the targets of this group, which the file does not have; write its endpoints"
            )
            made["endpoints"] = [{"address": Noted(f"127.0.0.1:{port}", "write the endpoints")}]
        if group.text("ProtocolVersion") in ("HTTP2", "GRPC"):
            made["protocol"] = "http2"
        if https:
            self._findings.unsafe(
                group.place,
                "an Application Load Balancer does not verify the certificates of targets; write ca instead of verify: false",
            )
            made["tls"] = {"verify": Noted(False, "unsafe: write ca: FILE")}
        self._attributes(group, made)
        self._health(group, made)
        return made

    def _attributes(self, group: Value, made: dict[str, Any]) -> None:
        found = {one.text("Key"): one.text("Value") for one in group.members("TargetGroupAttributes")}
        if found.get("load_balancing.algorithm.type", "round_robin") == "round_robin":
            made["balancing"] = "round_robin"
        if found.get("load_balancing.algorithm.type") == "weighted_random":
            made["balancing"] = "random"
        if found.get("stickiness.enabled") == "true":
            made["balancing"] = {
                "method": "cookie",
                "cookie": found.get("stickiness.app_cookie.cookie_name") or "AWSALB",
            }
        if (slow := found.get("slow_start.duration_seconds", "0")).isdigit() and slow != "0":
            made["slow_start"] = seconds(int(slow), 0, 3600)

    def _health(self, group: Value, made: dict[str, Any]) -> None:
        path = group.text("HealthCheckPath")
        if not path or group.text("HealthCheckEnabled") == "false":
            return
        rules: dict[str, Any] = {"path": path}
        if made.get("protocol") == "http2" and group.text("ProtocolVersion") == "GRPC":
            rules = {"type": "grpc"}
        else:
            rules["statuses"] = group.text("Matcher", "HttpCode").replace(",", ", ") or 200
        interval, timeout = group.whole("HealthCheckIntervalSeconds"), group.whole("HealthCheckTimeoutSeconds")
        if interval is not None:
            rules["interval"] = seconds(interval, 0.1, 3600)
        if timeout is not None and interval is not None and timeout < interval:
            rules["timeout"] = seconds(timeout, 0.01, 60)
        for there, here in (("HealthyThresholdCount", "rise"), ("UnhealthyThresholdCount", "fall")):
            if (number := group.whole(there)) is not None:
                rules[here] = number
        if (port := group.whole("HealthCheckPort")) is not None:
            rules["port"] = port
        made["health_check"] = rules


def reference(value: Value | None) -> str:
    """A name, or what ``Ref`` or ``Fn::GetAtt`` names in a template."""
    if value is None:
        return ""
    if not isinstance(value.data, dict):
        return str(value.data)
    named = value.data.get("Ref") or value.data.get("Fn::GetAtt") or ""
    return str(named[0] if isinstance(named, list) and named else named).partition(".")[0]
