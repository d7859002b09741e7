#!/usr/bin/env python3
"""Real servers for AgentKube, without containers: an admin cluster with Kamaji, and its tenants.

usage: clusters.py DIRECTORY

Starts etcd, kube-apiserver, kube-controller-manager and Kamaji as processes, all on loopback addresses, and writes
DIRECTORY/agent.kubeconfig with the rights that docs/kamaji.md names. What a real admin cluster would have besides is done here: addresses for
Services, names of Services, pods of control planes as processes, pods of tenants' nodes as far as their status goes.

Prints `ready`, and runs until SIGTERM or the end of its input. docs/real-clusters.md says which binaries the environment must name.
"""

import asyncio
import base64
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

ROLE = [
    {"apiGroups": ["kamaji.clastix.io"], "resources": ["tenantcontrolplanes"],
     "verbs": ["get", "list", "watch", "create", "patch", "delete"]},
    {"apiGroups": ["kamaji.clastix.io"], "resources": ["datastores"], "verbs": ["get"]},
    {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get", "list", "watch", "create", "delete"]},
    {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]},
]
# Controllers that would make pods of Deployments; pods of control planes are processes here.
CONTROLLERS = "*,-deployment-controller,-replicaset-controller,-daemonset-controller"
CNI = "/etc/cni/net.d"


class Failed(Exception):
    """A command that failed."""


def run(*command, text=None):
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=60)
    if done.returncode:
        raise Failed(f"{command[0]} {command[1:4]}: {done.stderr.strip()[:300]}")
    return done.stdout


def binary(variable):
    path = os.environ.get(variable)
    if not path or not Path(path).exists():
        sys.exit(f"{variable} does not name a file; docs/real-clusters.md says what is needed")
    return path


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def until(what, look, seconds=120):
    end = time.time() + seconds
    while time.time() < end:
        try:
            if look():
                return
        except Failed:
            pass
        time.sleep(0.3)
    raise Failed(f"not within {seconds} s: {what}")


def now():
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


class Kubectl:
    def __init__(self, kubeconfig):
        self.base = ("kubectl", "--kubeconfig", str(kubeconfig), "--request-timeout=10s")

    def __call__(self, *arguments, text=None):
        return run(*self.base, *arguments, text=text)

    def get(self, *arguments):
        return json.loads(self("get", *arguments, "-o", "json"))

    def apply(self, thing):
        self("apply", "--server-side", "-f", "-", text=json.dumps(thing))

    def status(self, kind, meta, status, how="merge"):
        place = ["-n", meta["namespace"]] if "namespace" in meta else []
        patch = json.dumps({"status": status})
        self("patch", kind, meta["name"], *place, "--subresource", "status", "--type", how, "-p", patch)


class Process:
    """A server that is started again when it ends."""

    running = []

    def __init__(self, directory, name, command, environment=None):
        self.log, self.command, self.stopped = directory / f"{name}.log", command, False
        self.environment = {**os.environ, **(environment or {})}
        self.start()
        Process.running.append(self)

    def start(self):
        with open(self.log, "a") as log:
            self.child = subprocess.Popen(self.command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=self.environment)

    def mind(self):
        if not self.stopped and self.child.poll() is not None:
            self.start()

    def stop(self):
        self.stopped = True
        self.child.terminate()
        try:
            self.child.wait(10)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
        Process.running.remove(self)


class Admin:
    """The admin cluster."""

    def __init__(self, directory):
        self.directory = directory
        self.kubectl = Kubectl(directory / "admin.kubeconfig")

    def file(self, name):
        return str(self.directory / name)

    def text(self, name):
        return base64.b64encode((self.directory / name).read_bytes()).decode()

    def authority(self, name):
        run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", f"/CN={name}",
            "-addext", "keyUsage=critical,keyCertSign,cRLSign", "-keyout", self.file(f"{name}.key"), "-out", self.file(f"{name}.crt"))

    def certificate(self, authority, name, subject):
        request, extensions = self.file(f"{name}.csr"), self.directory / f"{name}.ext"
        names = "IP:127.0.0.1,DNS:localhost,DNS:kubernetes.default.svc"
        extensions.write_text(f"extendedKeyUsage=serverAuth,clientAuth\nsubjectAltName={names}\n")
        run("openssl", "req", "-newkey", "rsa:2048", "-nodes", "-subj", subject, "-keyout", self.file(f"{name}.key"), "-out", request)
        run("openssl", "x509", "-req", "-in", request, "-CA", self.file(f"{authority}.crt"), "-CAkey", self.file(f"{authority}.key"),
            "-CAcreateserial", "-days", "30", "-extfile", str(extensions), "-out", self.file(f"{name}.crt"))

    def kubeconfig(self, name, user):
        cluster = {"server": self.url, "certificate-authority-data": self.text("ca.crt")}
        (self.directory / f"{name}.kubeconfig").write_text(json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "real",
            "clusters": [{"name": "real", "cluster": cluster}],
            "users": [{"name": "real", "user": user}],
            "contexts": [{"name": "real", "context": {"cluster": "real", "user": "real"}}],
        }))

    def start(self):
        for name in ("ca", "etcd-ca", "front-ca"):
            self.authority(name)
        self.certificate("etcd-ca", "etcd", "/CN=etcd")
        self.certificate("etcd-ca", "etcd-root", "/CN=root")
        people = {"apiserver": "/CN=kube-apiserver", "admin": "/O=system:masters/CN=admin",
                  "kcm": "/CN=system:kube-controller-manager", "webhook": "/CN=kamaji"}
        for name, subject in people.items():
            self.certificate("ca", name, subject)
        run("openssl", "genrsa", "-out", self.file("sa.key"), "2048")
        run("openssl", "rsa", "-in", self.file("sa.key"), "-pubout", "-out", self.file("sa.pub"))
        store, peer, port = free_port(), free_port(), free_port()
        self.store, self.url = f"127.0.0.1:{store}", f"https://127.0.0.1:{port}"
        self.etcd(peer)
        self.apiserver(port)
        for name in ("admin", "kcm"):
            self.kubeconfig(name, {"client-certificate-data": self.text(f"{name}.crt"), "client-key-data": self.text(f"{name}.key")})
        until("the API server", lambda: self.kubectl("get", "--raw", "/readyz") == "ok")
        kubeconfig = self.file("kcm.kubeconfig")
        Process(self.directory, "kcm", [
            binary("AGENTKUBE_KUBE_CONTROLLER_MANAGER"), f"--kubeconfig={kubeconfig}", "--bind-address=127.0.0.1",
            f"--secure-port={free_port()}", f"--authentication-kubeconfig={kubeconfig}", f"--authorization-kubeconfig={kubeconfig}",
            "--leader-elect=false", "--use-service-account-credentials", f"--service-account-private-key-file={self.file('sa.key')}",
            f"--root-ca-file={self.file('ca.crt')}", f"--controllers={CONTROLLERS}"])

    def etcd(self, peer):
        Process(self.directory, "etcd", [
            binary("AGENTKUBE_ETCD"), f"--data-dir={self.file('etcd')}", f"--listen-client-urls=https://{self.store}",
            f"--advertise-client-urls=https://{self.store}", f"--listen-peer-urls=http://127.0.0.1:{peer}",
            f"--initial-advertise-peer-urls=http://127.0.0.1:{peer}", f"--initial-cluster=default=http://127.0.0.1:{peer}",
            f"--cert-file={self.file('etcd.crt')}", f"--key-file={self.file('etcd.key')}", "--client-cert-auth",
            f"--trusted-ca-file={self.file('etcd-ca.crt')}"])

    def apiserver(self, port):
        Process(self.directory, "apiserver", [
            binary("AGENTKUBE_KUBE_APISERVER"), f"--etcd-servers=https://{self.store}", "--etcd-prefix=/admin",
            f"--etcd-cafile={self.file('etcd-ca.crt')}", f"--etcd-certfile={self.file('etcd-root.crt')}",
            f"--etcd-keyfile={self.file('etcd-root.key')}", "--bind-address=127.0.0.1", "--advertise-address=127.0.0.1",
            "--endpoint-reconciler-type=none", f"--secure-port={port}", f"--tls-cert-file={self.file('apiserver.crt')}",
            f"--tls-private-key-file={self.file('apiserver.key')}", f"--client-ca-file={self.file('ca.crt')}",
            "--authorization-mode=Node,RBAC", "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={self.file('sa.pub')}", f"--service-account-signing-key-file={self.file('sa.key')}",
            "--service-cluster-ip-range=10.96.0.0/16", f"--requestheader-client-ca-file={self.file('front-ca.crt')}"])

    def agent(self):
        """A service account with what docs/kamaji.md asks for, and no more."""
        self.kubectl("create", "namespace", "agentkube")
        self.kubectl("create", "serviceaccount", "agentkube", "-n", "agentkube")
        self.kubectl.apply({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
                            "metadata": {"name": "agentkube"}, "rules": ROLE})
        self.kubectl("create", "clusterrolebinding", "agentkube", "--clusterrole=agentkube", "--serviceaccount=agentkube:agentkube")
        token = self.kubectl("create", "token", "agentkube", "-n", "agentkube", "--duration=8h").strip()
        self.kubeconfig("agent", {"token": token})

    def kamaji(self, proxy):
        for definition in sorted(Path(os.environ["AGENTKUBE_KAMAJI_CRDS"]).glob("kamaji.clastix.io_*.yaml")):
            self.kubectl("apply", "--server-side", "-f", str(definition))
        self.kubectl("wait", "--for=condition=Established", "--timeout=60s", "crd", "--all")
        self.kubectl("create", "namespace", "kamaji-system")
        secret = ("create", "secret", "generic", "etcd", "-n", "kamaji-system")
        files = {"ca.crt": "etcd-ca.crt", "ca.key": "etcd-ca.key", "tls.crt": "etcd-root.crt", "tls.key": "etcd-root.key"}
        self.kubectl(*secret, *(f"--from-file={key}={self.file(name)}" for key, name in files.items()))
        serving = self.directory / "tmp/k8s-webhook-server/serving-certs"
        serving.mkdir(parents=True)
        for source, name in (("webhook.crt", "tls.crt"), ("webhook.key", "tls.key"), ("ca.crt", "ca.crt")):
            shutil.copy(self.file(source), serving / name)
        # Kamaji reaches tenants by the names of their Services.
        away = {"KUBECONFIG": self.file("admin.kubeconfig"), "TMPDIR": self.file("tmp"), "HTTPS_PROXY": proxy, "NO_PROXY": "127.0.0.1"}
        Process(self.directory, "kamaji", [
            binary("AGENTKUBE_KAMAJI"), "manager", "--disable-telemetry", "--leader-elect=false", "--metrics-bind-address=0",
            "--health-probe-bind-address=127.0.0.1:0", f"--tmp-directory={self.file('tmp/kamaji')}", "--datastore=default",
            "--pod-namespace=kamaji-system", "--serviceaccount-name=kamaji", f"--webhook-ca-path={serving / 'ca.crt'}",
            "--migrate-image=none.invalid/kamaji:none"], away)
        until("Kamaji's webhook", lambda: self.listens(9443))
        self.webhook("MutatingWebhookConfiguration", "mutate")
        self.webhook("ValidatingWebhookConfiguration", "validate")
        key = lambda path: {"secretReference": {"name": "etcd", "namespace": "kamaji-system", "keyPath": path}}
        self.kubectl.apply({"apiVersion": "kamaji.clastix.io/v1alpha1", "kind": "DataStore", "metadata": {"name": "default"}, "spec": {
            "driver": "etcd", "endpoints": [self.store], "tlsConfig": {
                "certificateAuthority": {"certificate": key("ca.crt"), "privateKey": key("ca.key")},
                "clientCertificate": {"certificate": key("tls.crt"), "privateKey": key("tls.key")}}}})
        until("the DataStore", lambda: self.kubectl.get("datastore", "default").get("status", {}).get("ready"))

    @staticmethod
    def listens(port):
        with socket.socket() as look:
            return look.connect_ex(("127.0.0.1", port)) == 0

    def webhook(self, kind, verb):
        path = f"/{verb}-kamaji-clastix-io-v1alpha1-tenantcontrolplane"
        rule = {"apiGroups": ["kamaji.clastix.io"], "apiVersions": ["v1alpha1"], "operations": ["CREATE", "UPDATE"],
                "resources": ["tenantcontrolplanes"]}
        hook = {"name": f"{verb}.kamaji.clastix.io", "admissionReviewVersions": ["v1"], "sideEffects": "None", "failurePolicy": "Fail",
                "clientConfig": {"url": f"https://127.0.0.1:9443{path}", "caBundle": self.text("ca.crt")}, "rules": [rule]}
        self.kubectl.apply({"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": {"name": "kamaji"}, "webhooks": [hook]})


class Planes:
    """Runs the pods of control planes as processes, and gives Services addresses: kubelet and load balancer of the admin cluster."""

    def __init__(self, admin):
        self.admin, self.kubectl, self.pods, self.given = admin, admin.kubectl, {}, 1

    def look(self):
        for service in self.kubectl.get("services", "-A")["items"]:
            if service["spec"]["type"] == "LoadBalancer" and not service["status"]["loadBalancer"].get("ingress"):
                self.given += 1
                self.kubectl.status("service", service["metadata"], {"loadBalancer": {"ingress": [{"ip": f"127.88.0.{self.given}"}]}})
        deployments = self.kubectl.get("deployments", "-A")["items"]
        there = {deployment["metadata"]["uid"] for deployment in deployments}
        for uid in set(self.pods) - there:
            self.end(uid)
        for deployment in deployments:
            self.serve(deployment)

    def end(self, uid):
        for process in self.pods.pop(uid)["processes"]:
            process.stop()

    def serve(self, deployment):
        meta, spec = deployment["metadata"], deployment["spec"]
        uid, wanted, template = meta["uid"], spec["replicas"], json.dumps(spec["template"], sort_keys=True)
        running = self.pods.get(uid)
        if running and (running["template"] != template or not wanted):
            self.end(uid)
            running = None
        if wanted and not running:
            ingress = self.kubectl.get("service", meta["name"], "-n", meta["namespace"])["status"]["loadBalancer"]["ingress"]
            running = {"template": template, "processes": self.begin(meta, spec["template"]["spec"], ingress[0]["ip"]),
                       "address": ingress[0]["ip"]}
            self.pods[uid] = running
        ready = wanted if running and self.answers(running["address"]) else 0
        status = {"observedGeneration": meta["generation"], "replicas": wanted, "updatedReplicas": wanted, "readyReplicas": ready,
                  "availableReplicas": ready, "unavailableReplicas": wanted - ready}
        if any(deployment.get("status", {}).get(key, 0) != value for key, value in status.items()):
            self.kubectl.status("deployment", meta, status)

    @staticmethod
    def answers(address):
        probe = ["curl", "-skf", "-m", "2", f"https://{address}:6443/readyz"]
        return subprocess.run(probe, capture_output=True).stdout == b"ok"

    def begin(self, meta, pod, address):
        """One process per container of which we have the program; volumes become directories."""
        where = self.admin.directory / "pods" / f"{meta['namespace']}-{meta['generation']}"
        for volume in pod["volumes"]:
            self.volume(meta["namespace"], volume, where / volume["name"])
        for kubeconfig in where.glob("*/*.conf"):
            # Containers of a pod share its loopback address; our processes listen on that of the Service.
            text = kubeconfig.read_text().replace("https://127.0.0.1:", f"https://{address}:").replace("https://localhost:", f"https://{address}:")
            kubeconfig.write_text(text)
        more = {
            "kube-apiserver": ("AGENTKUBE_KUBE_APISERVER", ["--endpoint-reconciler-type=none"]),
            "kube-controller-manager": ("AGENTKUBE_KUBE_CONTROLLER_MANAGER", ["--leader-elect=false", f"--secure-port={free_port()}"]),
        }
        processes = []
        for container in pod["containers"]:
            name = container["command"][0]
            if name not in more:
                continue
            variable, arguments = more[name]
            mounts = {mount["mountPath"]: where / mount["name"] / mount.get("subPath", "") for mount in container["volumeMounts"]}
            ours = [self.inside(argument, mounts) for argument in container["args"] if not argument.startswith("--bind-address")
                    and not argument.startswith("--egress-selector")]
            command = [binary(variable), *ours, *arguments, f"--bind-address={address}"]
            processes.append(Process(self.admin.directory, f"{meta['namespace']}-{name}", command))
        return processes

    @staticmethod
    def inside(argument, mounts):
        for path in sorted(mounts, key=len, reverse=True):
            if f"={path}/" in argument:
                return argument.replace(f"={path}/", f"={mounts[path]}/")
        return argument

    def volume(self, namespace, volume, where):
        where.mkdir(parents=True, exist_ok=True)
        sources = volume.get("projected", {}).get("sources", [])
        if "secret" in volume:
            sources = [{"secret": {**volume["secret"], "name": volume["secret"]["secretName"]}}]
        if "configMap" in volume:
            sources = [{"configMap": volume["configMap"]}]
        for source in sources:
            (kind, what), = source.items()
            data = self.kubectl.get(kind.lower(), what["name"], "-n", namespace).get("data", {})
            for item in what.get("items") or [{"key": key, "path": key} for key in data]:
                value = data[item["key"]]
                target = where / item["path"]
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(base64.b64decode(value) if kind == "secret" else value.encode())


class Nodes:
    """Scheduler and container runtime of the tenants' nodes, as far as status goes. Who joined them is real."""

    def __init__(self, admin):
        self.admin = admin

    def look(self):
        for plane in self.admin.kubectl.get("tenantcontrolplanes", "-A")["items"]:
            status = plane.get("status", {})
            secret = status.get("kubeconfig", {}).get("admin", {}).get("secretName")
            if secret and status.get("kubeadmPhase", {}).get("bootstrapToken", {}).get("checksum"):
                self.serve(plane["metadata"]["namespace"], secret)

    def serve(self, namespace, secret):
        data = self.admin.kubectl.get("secret", secret, "-n", namespace)["data"]
        kubeconfig = self.admin.directory / f"tenant-{namespace}.kubeconfig"
        kubeconfig.write_bytes(base64.b64decode(data["super-admin.conf"]))
        tenant = Kubectl(kubeconfig)
        nodes = {node["metadata"]["name"]: node for node in tenant.get("nodes")["items"]}
        ready = [name for name, node in nodes.items() if self.ready(node)]
        for pod in tenant.get("pods", "-A")["items"]:
            meta, node = pod["metadata"], pod["spec"].get("nodeName")
            if meta.get("deletionTimestamp"):
                tenant("delete", "pod", meta["name"], "-n", meta["namespace"], "--grace-period=0", "--force", "--wait=false")
            elif not node:
                self.bind(tenant, meta, self.wanted(pod) or next(iter(ready), None), nodes)
            elif pod["status"].get("phase") != "Running":
                tenant.status("pod", meta, self.working(pod))
            if node in nodes and node not in ready and self.networks(pod):
                condition = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "kubelet is posting ready status",
                             "lastHeartbeatTime": now(), "lastTransitionTime": now()}
                tenant.status("node", nodes[node]["metadata"], {"conditions": [condition]}, how="strategic")

    @staticmethod
    def ready(node):
        conditions = node["status"].get("conditions", [])
        return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)

    @staticmethod
    def networks(pod):
        return any(volume.get("hostPath", {}).get("path", "").startswith(CNI) for volume in pod["spec"].get("volumes", []))

    @staticmethod
    def wanted(pod):
        """The one node that a DaemonSet made the pod for."""
        affinity = pod["spec"].get("affinity", {}).get("nodeAffinity", {})
        for term in affinity.get("requiredDuringSchedulingIgnoredDuringExecution", {}).get("nodeSelectorTerms", []):
            for field in term.get("matchFields", []):
                return field["values"][0]
        return None

    @staticmethod
    def bind(tenant, meta, node, nodes):
        if node in nodes:
            binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": meta["name"]},
                       "target": {"apiVersion": "v1", "kind": "Node", "name": node}}
            path = f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}/binding"
            tenant("create", "--raw", path, "-f", "-", text=json.dumps(binding))

    @staticmethod
    def working(pod):
        conditions = [{"type": kind, "status": "True", "lastTransitionTime": now()}
                      for kind in ("PodScheduled", "Initialized", "ContainersReady", "Ready")]
        containers = [{"name": container["name"], "image": container["image"], "imageID": "none", "ready": True, "restartCount": 0,
                       "state": {"running": {"startedAt": now()}}} for container in pod["spec"]["containers"]]
        return {"phase": "Running", "conditions": conditions, "containerStatuses": containers}


def names(admin, port):
    """A proxy that knows where `SERVICE.NAMESPACE.svc` is: the name service of the admin cluster."""

    async def copy(reader, writer):
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        writer.close()

    async def serve(reader, writer):
        host, port = (await reader.readline()).split()[1].decode().rsplit(":", 1)
        while (await reader.readline()).strip():
            pass
        try:
            name, namespace = host.split(".")[:2]
            service = await asyncio.to_thread(admin.kubectl.get, "service", name, "-n", namespace)
            away = await asyncio.open_connection(service["status"]["loadBalancer"]["ingress"][0]["ip"], int(port))
        except (Failed, OSError, KeyError, ValueError):
            writer.write(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")
            writer.close()
            return
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await asyncio.gather(copy(reader, away[1]), copy(away[0], writer))

    async def forever():
        server = await asyncio.start_server(serve, "127.0.0.1", port)
        await server.serve_forever()

    asyncio.run(forever())


def again(look, over):
    """Looks every second until it is over; what failed is looked at again."""
    while not over.wait(1):
        try:
            look()
        except (Failed, KeyError, IndexError, subprocess.TimeoutExpired) as failure:
            print(f"{type(failure).__name__}: {failure}", file=sys.stderr, flush=True)


def main():
    directory = Path(sys.argv[1]).resolve()
    directory.mkdir(parents=True, exist_ok=True)
    over = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: over.set())
    admin, proxy = Admin(directory), free_port()
    watched = threading.Thread(target=lambda: (sys.stdin.read(), over.set()), daemon=True)
    watched.start()
    threads = []

    def keep(look):
        threads.append(threading.Thread(target=again, args=(look, over)))
        threads[-1].start()

    keep(lambda: [process.mind() for process in list(Process.running)])
    try:
        admin.start()
        threading.Thread(target=names, args=(admin, proxy), daemon=True).start()
        admin.agent()
        admin.kamaji(f"http://127.0.0.1:{proxy}")
        keep(Planes(admin).look)
        keep(Nodes(admin).look)
        print("ready", flush=True)
        over.wait()
    finally:
        over.set()
        for thread in threads:
            thread.join()
        for process in reversed(list(Process.running)):
            process.stop()


if __name__ == "__main__":
    main()
