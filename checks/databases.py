"""Judgement of databases: one size down for idle CPUs, one zone for non-production."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from pytest_finops.fixtures.sizes import parts, smaller_size

from pytest_finops import PriceLine

from . import rightsizing

#: States in which a database runs and can be modified; stopped ones pay no instance hours.
RUNNING = frozenset({"available", "storage-optimization", "storage-full", "backing-up"})

MIB = 1024 * 1024


def total(lines: Sequence[PriceLine]) -> Decimal | None:
    """Return what the lines cost together, or None if one of them has no price."""
    amounts = [line.amount for line in lines]
    known = [amount for amount in amounts if amount is not None]
    return sum(known, Decimal(0)) if len(known) == len(amounts) else None


def silence(metric: Any, resource: Any, what: str) -> str:
    """Return why there is no series: AWS's fault, or nothing published."""
    fault = metric.fault(resource)
    return f"{what} could not be read: {fault}" if fault else f"no datapoints of {what}"


def low_cpu(
    instances: Any,
    orderable: Any,
    types: Any,
    cpu: Any,
    freeable: Any,
    connections: Any,
    prices: Any,
    findings: Any,
    rule: Any,
) -> None:
    """Report standalone instances whose CPU, and memory, fit one size down in the same family."""
    for instance in instances:
        if not instance.is_standalone or instance.status != "available":
            continue
        reason = _unjudged(instance, cpu, rule)
        if reason:
            findings.not_evaluated(instance, reason)
            continue
        usage = rightsizing.usage_of(cpu.series(instance, "Average"), cpu.series(instance, "Maximum"))
        if not rightsizing.meets(rule, "cpu_average", usage.mean):
            continue
        source = types.at(instance.target).get(instance.ec2_type)
        if source is None:
            findings.not_evaluated(instance, f"vCPU and memory of {instance.instance_class} are not known")
            continue
        options = orderable.at(instance.target).by("class_key").get(instance.class_key, ())
        if not options:
            version = f"{instance.engine} {instance.engine_version}"
            findings.not_evaluated(instance, f"the classes that can be ordered for {version} are not known")
            continue
        target_class = _smaller_class(instance, options)
        if target_class is None:
            text = f"{usage.mean:.1f}% CPU avg, but no smaller class of its family can be ordered"
            findings.note(instance, text)
            continue
        target = types.at(instance.target).get(target_class.removeprefix("db."))
        if target is None:
            findings.not_evaluated(instance, f"vCPU and memory of {target_class} are not known")
            continue
        free = freeable.series(instance, "Minimum")
        if free is None:
            findings.not_evaluated(instance, silence(freeable, instance, "FreeableMemory"))
            continue
        if not rightsizing.meets(rule, "coverage", 100 * free.coverage):
            findings.not_evaluated(
                instance, f"only {100 * free.coverage:.0f}% of the datapoints of FreeableMemory"
            )
            continue
        used_mib = max(source.memory_mib - free.minimum / MIB, 1.0)
        target_cpu = rightsizing.projected(usage.p95_maximum, source.vcpus, target.vcpus)
        if not rule.holds(
            instance,
            cpu_average=usage.mean,
            target_cpu=target_cpu,
            memory_headroom=target.memory_mib / used_mib,
            coverage=usage.coverage,
        ):
            continue
        # A burstable class above its baseline lives on credits, which unlimited mode sells.
        if not rightsizing.sustains(usage.mean, source.vcpus, target_class, target.vcpus):
            continue
        current = _instance_line(prices, instance, instance.instance_class, usage.hours)
        smaller = _instance_line(prices, instance, target_class, usage.hours)
        costs, remains = current.amount, smaller.amount
        if costs is not None and remains is not None and costs <= remains:
            continue
        sessions = connections.series(instance, "Maximum")
        memory_percent = 100 * used_mib / source.memory_mib
        findings.report(
            instance,
            current=f"{usage.mean:.1f}% CPU avg",
            current_lines=[current],
            target_lines=[smaller],
            confidence="low"
            if instance.is_replica
            else rightsizing.confidence(usage.p95_maximum, memory_percent),
            evidence={
                **usage.evidence,
                "class": instance.instance_class,
                "target_class": target_class,
                "vcpus": source.vcpus,
                "target_vcpus": target.vcpus,
                "cpu_p95_on_target": round(target_cpu, 2),
                "memory_mib": source.memory_mib,
                "memory_used_mib_at_most": round(used_mib),
                "target_memory_mib": target.memory_mib,
                "connections_maximum": None if sessions is None else round(sessions.maximum),
                "multi_az": instance.multi_az,
                "read_replica_of": instance.replica_of or None,
            },
            recommendation=_advice(instance, target_class, sessions),
        )


def _unjudged(instance: Any, cpu: Any, rule: Any) -> str | None:
    """Return why the instance cannot be judged by its CPU, or None."""
    if instance.age_days is None:
        return "AWS gives no creation time"
    if instance.age_days < rule.period_days or not rightsizing.meets(rule, "age_days", instance.age_days):
        return f"created {rightsizing.days_text(instance.age_days)} ago: too young to judge"
    if "DBInstanceClass" in instance.pending_changes:
        return "a change of its class is pending"
    if instance.processor_features:
        return "its processor features are set: vCPU and price differ from the class's"
    for statistic in ("Average", "Maximum"):
        series = cpu.series(instance, statistic)
        if series is None:
            return silence(cpu, instance, "CPUUtilization")
        if not rightsizing.meets(rule, "coverage", 100 * series.coverage):
            return f"only {100 * series.coverage:.0f}% of the datapoints of CPUUtilization"
    return None


def _smaller_class(instance: Any, options: Sequence[Any]) -> str | None:
    """Return the next smaller class of the family that the instance can become, or None."""
    family, size = parts(instance.instance_class)
    fitting = (parts(option.instance_class) for option in options if option.fits(instance))
    smaller = smaller_size(size, (other for its_family, other in fitting if its_family == family))
    return None if smaller is None else f"db.{family}.{smaller}"


def _advice(instance: Any, target_class: str, sessions: Any) -> str:
    text = f"Change {instance.id} from {instance.instance_class} to {target_class} in a maintenance window."
    if instance.multi_az:
        text += " Multi-AZ fails over for about a minute."
    if sessions is not None and sessions.maximum == 0:
        text += (
            " No client connected in the whole window: check whether it can be stopped or deleted instead."
        )
    if instance.is_replica:
        text += (
            f" It replicates {instance.replica_of}: it must keep up with its writes, and may be its stand-in."
        )
    return text


def _instance_line(
    prices: Any, instance: Any, instance_class: str, hours: Decimal, multi_az: bool | None = None
) -> PriceLine:
    line: PriceLine = prices.line(
        "rds.instance",
        instance,
        hours,
        instance_class=instance_class,
        engine=instance.engine,
        license_model=instance.license_model,
        multi_az=instance.multi_az if multi_az is None else multi_az,
        component=f"db-compute:{instance.id}",
    )
    return line


def _deployment_lines(prices: Any, instance: Any, multi_az: bool) -> list[PriceLine]:
    """Return what the instance costs a month with or without a standby: hours, storage, provisioned IOPS."""
    lines = [_instance_line(prices, instance, instance.instance_class, rightsizing.MONTH, multi_az)]
    storage = {
        "storage_type": instance.storage_type,
        "multi_az": multi_az,
        "component": f"db-storage:{instance.id}",
    }
    lines.append(prices.line("rds.storage", instance, Decimal(instance.allocated_gib), **storage))
    if instance.charged_iops:
        lines.append(prices.line("rds.iops", instance, Decimal(instance.charged_iops), **storage))
    if instance.charged_throughput:
        del storage["storage_type"]  # only gp3 sells it
        lines.append(prices.line("rds.throughput", instance, Decimal(instance.charged_throughput), **storage))
    return lines


def multi_az_nonprod(instances: Any, prices: Any, findings: Any, rule: Any) -> None:
    """Report Multi-AZ instances of non-production: half their hours, storage and IOPS could go."""
    for instance in instances:
        if not instance.is_standalone or not instance.multi_az or instance.status not in RUNNING:
            continue
        environment = rule.environment(instance)
        if environment.value == "prod":
            continue
        if environment.value == "unknown" or not rightsizing.meets(
            rule, "environment_confidence", environment.confidence
        ):
            findings.not_evaluated(instance, "it is not known well enough whether it serves production")
            continue
        if "MultiAZ" in instance.pending_changes:
            findings.not_evaluated(instance, "a change of its Multi-AZ deployment is pending")
            continue
        if not rule.holds(
            instance, environment=environment.value, environment_confidence=environment.confidence
        ):
            continue
        current = _deployment_lines(prices, instance, True)
        single = _deployment_lines(prices, instance, False)
        costs, remains = total(current), total(single)
        if costs is not None and remains is not None and costs <= remains:
            continue
        findings.report(
            instance,
            current=f"Multi-AZ in {environment.value} ({environment.source})",
            current_lines=current,
            target_lines=single,
            confidence=environment.confidence,
            evidence={
                "environment": environment.value,
                "environment_source": environment.source,
                "class": instance.instance_class,
                "engine": f"{instance.engine} {instance.engine_version}",
                "storage": f"{instance.allocated_gib} GiB {instance.storage_type}",
                "charged_iops": instance.charged_iops,
                "charged_throughput": instance.charged_throughput,
            },
            recommendation=_single_zone_advice(instance),
        )


def _single_zone_advice(instance: Any) -> str:
    text = (
        f"Make {instance.id} ({instance.instance_class}, {instance.allocated_gib} GiB) a Single-AZ instance."
    )
    if instance.engine.startswith("sqlserver-"):
        text += " SQL Server: remove the mirroring or Always On option from its option group first."
    return text
