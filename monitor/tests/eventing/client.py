"""A client of WS-Eventing: each line of its input is a request in JSON, each line of its output the answer.

zeep reads the WSDL of the agent and writes and reads the messages; the headers are those of WS-Addressing as of August 2004.
"""

import json
import sys
import uuid

import zeep

WSE = "http://schemas.xmlsoap.org/ws/2004/08/eventing"


def ask(service, request):
    name = request["operation"]
    headers = {"Action": f"{WSE}/{name}", "MessageID": f"uuid:{uuid.uuid4()}", "To": request["to"]}
    if "identifier" in request:
        headers["Identifier"] = request["identifier"]
    answer = service[name](_soapheaders=headers, **request.get("body", {}))
    if name == "Subscribe":
        manager = answer.SubscriptionManager
        identifier = manager.ReferenceParameters._value_1[0]
        return {"address": manager.Address, "identifier": identifier, "expires": answer.Expires}
    return {"expires": answer}


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
