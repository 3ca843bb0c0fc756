"""The cases."""
from dataclasses import dataclass, field
from gateways import Route, nginx
from faults import always, in_order
from topology import UPSTREAM

@dataclass
class Case:
    name: str
    gateway: object
    about: str
    arrange: object
    traffic: object
    route: Route = field(default_factory=Route)
    on: str = "any"
    classic: bool = False
    only: str = ""
    remote: bool = False
    far: bool = False
    ipv6: bool = False
    crowd: bool = False
    healthy: bool = False
    clear_two_leg: bool = True
    settle: float = 0
    cause: str = ""
    accept: list = field(default_factory=list)
    alert: str = ""
    full_capture: object = None
    def afterwards(self, capture): pass

def t(lab):
    v=lab.visitor()
    for _ in range(3): v.ask()
    v.close()
ALL=[Case("nginx-reset-before-response",nginx,"x",lambda lab: lab.upstream(in_order("ok","reset","ok")),t),
 Case("nginx-x",nginx,"x",lambda lab: lab.upstream(in_order("ok+vanish","ok","hang","ok+vanish")),lambda lab:[lab.visitor().ask(m) for m in ["GET","GET","GET","GET","POST"]], Route(reuse=True))]
