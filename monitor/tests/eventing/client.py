"""A client of WS-Eventing: each line of its input is a request in JSON, each line of its output the answer.

zeep reads the WSDL of the agent and writes and reads the messages; the headers are those of WS-Addressing as of August 2004.
"""

import json
import sys
import uuid

import zeep
from zeep.helpers import serialize_object

WSE = "http://schemas.xmlsoap.org/ws/2004/08/eventing"


def text(value):
    """What a header that the answer refers to says."""
    return [part.text for part in value] if isinstance(value, list) else str(value)


def ask(service, request):
    name = request["operation"]
    headers = {"Action": f"{WSE}/{name}", "MessageID": f"uuid:{uuid.uuid4()}", "To": request["to"]}
    if "identifier" in request:
        headers["Identifier"] = request["identifier"]
    answer = service[name](_soapheaders=headers, **request.get("body", {}))
    if name == "Subscribe":
        manager = answer.SubscriptionManager
        identifier = text(manager.ReferenceParameters._value_1)
        return {"address": manager.Address, "identifier": identifier[0], "expires": answer.Expires}
    return {"expires": answer} if isinstance(answer, str) else {"answer": serialize_object(answer)}


def main():
    client = zeep.Client(sys.argv[1])
    services = {port: client.bind("Events", port) for port in ("Soap12", "Soap11")}
    print(json.dumps({"ready": zeep.__version__}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = ask(services[request.get("port", "Soap12")], request)
        except zeep.exceptions.Fault as fault:
            codes = [str(code) for code in fault.subcodes or []]
            answer = {"fault": fault.message, "code": str(fault.code), "subcodes": codes}
        print(json.dumps(answer, default=str), flush=True)


main()
