"""What reading XML answers costs: ``python benchmarks/parse.py [ROUNDS]``, CPU milliseconds of this process.

Three parsers take turns on the same bodies: botocore's as it comes, botocore's with the collector's timestamps, and the
collector's. ``warm``: a client that has had such an answer before; otherwise each answer is the first of its client.
Garbage is collected as seldom as in a run that asks AWS.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Mapping
from typing import Any

import botocore.session
import estates
from botocore.loaders import create_loader
from botocore.model import ServiceModel
from harness import machine, spread

from pytest_finops.collector.aws import _timestamp
from pytest_finops.collector.xml_answers import Parsers
from pytest_finops.run import long_lived
from pytest_finops.testing import ReplayEndpoint

LOADER = create_loader()
#: The listings in XML that the ten checks ask for.
LISTINGS = {
    "ec2": (
        "describe_instances", "describe_volumes", "describe_snapshots", "describe_addresses", "describe_images",
        "describe_nat_gateways", "describe_launch_templates", "describe_vpcs", "describe_subnets",
        "describe_route_tables",
    ),
    "rds": ("describe_db_instances",),
    "elbv2": ("describe_load_balancers", "describe_target_groups"),
    "elb": ("describe_load_balancers",),
}  # fmt: skip
OWNED = {"describe_images": {"Owners": ["self"]}, "describe_snapshots": {"OwnerIds": ["self"]}}
#: An instance with everything that EC2 tells of an ordinary one.
INSTANCE = """<item><reservationId>r-{n:017x}</reservationId><ownerId>111122223333</ownerId><groupSet/><instancesSet><item>
<instanceId>i-{n:017x}</instanceId><imageId>ami-0abcdef1234567890</imageId><instanceState><code>16</code><name>running</name>
</instanceState><privateDnsName>ip-10-0-0-1.ec2.internal</privateDnsName><dnsName/><reason/><keyName>key</keyName>
<amiLaunchIndex>0</amiLaunchIndex><productCodes/><instanceType>m5.large</instanceType>
<launchTime>2026-08-25T16:{m:02d}:00.000Z</launchTime><placement><availabilityZone>us-east-1a</availabilityZone>
<availabilityZoneId>use1-az1</availabilityZoneId><groupName/><tenancy>default</tenancy></placement><monitoring>
<state>disabled</state></monitoring><subnetId>subnet-0abcdef1234567890</subnetId><vpcId>vpc-0abcdef1234567890</vpcId>
<privateIpAddress>10.0.0.1</privateIpAddress><sourceDestCheck>true</sourceDestCheck><groupSet><item>
<groupId>sg-0abcdef1234567890</groupId><groupName>web</groupName></item></groupSet><architecture>x86_64</architecture>
<rootDeviceType>ebs</rootDeviceType><rootDeviceName>/dev/xvda</rootDeviceName><blockDeviceMapping><item>
<deviceName>/dev/xvda</deviceName><ebs><volumeId>vol-{n:017x}</volumeId><status>attached</status>
<attachTime>2026-08-25T16:{m:02d}:01.000Z</attachTime><deleteOnTermination>true</deleteOnTermination></ebs></item>
</blockDeviceMapping><virtualizationType>hvm</virtualizationType><clientToken>token-{n}</clientToken><tagSet>
<item><key>Name</key><value>web-{n}</value></item><item><key>team</key><value>shop</value></item>
<item><key>environment</key><value>prod</value></item></tagSet><hypervisor>xen</hypervisor><networkInterfaceSet><item>
<networkInterfaceId>eni-{n:017x}</networkInterfaceId><subnetId>subnet-0abcdef1234567890</subnetId>
<vpcId>vpc-0abcdef1234567890</vpcId><description/><ownerId>111122223333</ownerId><status>in-use</status>
<macAddress>02:00:00:00:00:01</macAddress><privateIpAddress>10.0.0.1</privateIpAddress>
<sourceDestCheck>true</sourceDestCheck><groupSet><item><groupId>sg-0abcdef1234567890</groupId><groupName>web</groupName>
</item></groupSet><attachment><attachmentId>eni-attach-{n:017x}</attachmentId><deviceIndex>0</deviceIndex>
<status>attached</status><attachTime>2026-08-25T16:{m:02d}:00.000Z</attachTime>
<deleteOnTermination>true</deleteOnTermination><networkCardIndex>0</networkCardIndex></attachment><privateIpAddressesSet>
<item><privateIpAddress>10.0.0.1</privateIpAddress><primary>true</primary></item></privateIpAddressesSet>
<ipv6AddressesSet/><interfaceType>interface</interfaceType></item></networkInterfaceSet>
<iamInstanceProfile><arn>arn:aws:iam::111122223333:instance-profile/web</arn><id>AIPAEXAMPLE</id></iamInstanceProfile>
<ebsOptimized>true</ebsOptimized><enaSupport>true</enaSupport><cpuOptions><coreCount>1</coreCount>
<threadsPerCore>2</threadsPerCore></cpuOptions><capacityReservationSpecification>
<capacityReservationPreference>open</capacityReservationPreference></capacityReservationSpecification>
<hibernationOptions><configured>false</configured></hibernationOptions><enclaveOptions><enabled>false</enabled>
</enclaveOptions><metadataOptions><state>applied</state><httpTokens>required</httpTokens>
<httpPutResponseHopLimit>2</httpPutResponseHopLimit><httpEndpoint>enabled</httpEndpoint>
<httpProtocolIpv6>disabled</httpProtocolIpv6><instanceMetadataTags>disabled</instanceMetadataTags></metadataOptions>
<maintenanceOptions><autoRecovery>default</autoRecovery></maintenanceOptions><platformDetails>Linux/UNIX</platformDetails>
<usageOperation>RunInstances</usageOperation><usageOperationUpdateTime>2026-08-25T16:{m:02d}:00.000Z</usageOperationUpdateTime>
<privateDnsNameOptions><hostnameType>ip-name</hostnameType><enableResourceNameDnsARecord>false</enableResourceNameDnsARecord>
<enableResourceNameDnsAAAARecord>false</enableResourceNameDnsAAAARecord></privateDnsNameOptions></item></instancesSet>
</item>"""

KINDS = ("botocore", "timestamps", "collector")
#: Service, operation, body.
Bodies = list[tuple[str, str, bytes]]


def factory(kind: str) -> Any:
    """Return the parser factory of a session of one of the three kinds."""
    core = botocore.session.Session()
    if kind != "botocore":
        core.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=_timestamp)
    if kind == "collector":
        Parsers().register(core)
    return core.get_component("response_parser_factory")


def instances(count: int) -> Bodies:
    """One page of DescribeInstances."""
    items = "".join(INSTANCE.format(n=n, m=n % 60) for n in range(count)).replace("\n", "")
    body = (
        '<DescribeInstancesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>1</requestId>'
        f"<reservationSet>{items}</reservationSet></DescribeInstancesResponse>"
    )
    return [("ec2", "DescribeInstances", body.encode())]


def sample() -> Bodies:
    """The XML listings of the estate that ``collect.py`` is measured with, every page of both regions."""
    found: Bodies = []

    def keep(response_dict: Mapping[str, Any], operation_model: Any, **_: Any) -> None:
        found.append(
            (operation_model.service_model.service_name, operation_model.name, response_dict["body"])
        )

    with ReplayEndpoint(estates.sample()) as endpoint:
        for region in ("us-east-1", "eu-west-1"):
            core = botocore.session.Session()
            core.set_credentials("AKIABENCH1", "x")
            for service, methods in LISTINGS.items():
                client = core.create_client(service, region_name=region, endpoint_url=endpoint.url)
                client.meta.events.register("before-parse", keep)
                for method in methods:
                    if client.can_paginate(method):
                        client.get_paginator(method).paginate(**OWNED.get(method, {})).build_full_result()
                    else:
                        getattr(client, method)()
    return found


def compare(label: str, bodies: Bodies, rounds: int, *, warm: bool) -> None:
    """Print the CPU of the three parsers on ``bodies``, whose answers have to be equal."""
    parsers = {kind: factory(kind) for kind in KINDS}
    descriptions = {service: LOADER.load_service_model(service, "service-2") for service, _, _ in bodies}
    models = {service: ServiceModel(one, service) for service, one in descriptions.items()}

    def read(kind: str) -> tuple[list[Any], float]:
        answers, spent = [], 0.0
        for service, name, body in bodies:
            model = models[service] if warm else ServiceModel(descriptions[service], service)
            shape = model.operation_model(name).output_shape
            response = {"body": body, "status_code": 200, "headers": {}}
            begun = time.process_time()
            answers.append(parsers[kind].create_parser(model.metadata["protocol"]).parse(response, shape))
            spent += time.process_time() - begun
        return answers, 1000 * spent

    if not read("botocore")[0] == read("timestamps")[0] == read("collector")[0]:
        raise SystemExit(f"{label}: the answers differ")
    print(f"{label}: {len(bodies)} answers, {sum(len(body) for _, _, body in bodies) / 1e6:.2f} MB")
    spent: dict[str, list[float]] = {kind: [] for kind in KINDS}
    with long_lived():
        for _ in range(rounds):
            for kind in KINDS:
                spent[kind].append(read(kind)[1])
    ours = statistics.median(spent["collector"])
    for kind, found in spent.items():
        print(f"  {kind:10} {spread(found):>28} ms  {statistics.median(found) / ours:.1f} x")


def main(rounds: int) -> None:
    """Print the figures."""
    print(machine())
    compare("1,000 instances, warm", instances(1000), rounds, warm=True)
    compare("one instance, new client", instances(1), rounds, warm=False)
    compare("sample, new clients", sample(), rounds, warm=False)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 15)
