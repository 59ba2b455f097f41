//! Pods of the local node find each other: by name, by service, and only those that are ready.

#![expect(
    clippy::disallowed_methods,
    reason = "a test waits for what other processes do"
)]

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::containers::{IMAGE, PATIENCE, Runs, is_ready, prepare};
use crate::served::{Local, Served, command};

/// A readiness gate that the test opens and closes, as somebody's controller would.
const GATE: &str = "test.bayplan.dev/open";
/// Prints every 50 ms who answers for the service.
const ASKS: &str =
    "while true; do timeout 2 wget -q -O - http://web/ || echo nobody; sleep 0.05; done";

struct Node {
    served: Served,
    local: Local,
    _runs: Runs,
}

impl Node {
    fn make(&mut self, path: &str, object: &Value) {
        let deadline = Instant::now() + PATIENCE;
        // The service account that admission asks for is made by a controller.
        loop {
            let (code, answer) = self.local.send("POST", path, &object.to_string()).unwrap();
            if code == 201 {
                return;
            }
            assert!(Instant::now() < deadline, "{code} {answer:#}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn pod(&mut self, name: &str, spec: &Value) {
        let object = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "labels": {"app": name.split('-').next()}},
            "spec": spec,
        });
        self.make("/api/v1/namespaces/default/pods", &object);
    }

    fn service(&mut self, name: &str, spec: &Value) {
        let object = json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec,
        });
        self.make("/api/v1/namespaces/default/services", &object);
    }

    /// Runs a script in a pod of its own; its log when it says `done`.
    fn ask(&mut self, name: &str, script: &str) -> String {
        let script = format!("{{ {script}\n}} 2>&1; echo done; exec sleep 1000");
        self.pod(name, &says(&script));
        self.log_until(name, |log| log.ends_with("done\n"))
    }

    #[track_caller]
    fn log_until(&self, name: &str, wanted: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let log = self.log(name);
            if wanted(&log) {
                return log;
            }
            assert!(Instant::now() < deadline, "{name} said: {log}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn log(&self, name: &str) -> String {
        let path = format!("/api/v1/namespaces/default/pods/{name}/log");
        unchunked(&self.served.local().stream(&path).unwrap())
    }

    fn wait_for(&mut self, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let (_, object) = self.local.send("GET", path, "").unwrap();
            if wanted(&object) {
                return object;
            }
            assert!(Instant::now() < deadline, "{object:#}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Opens or closes a pod's gate, again where the node's own report came in between, and says
    /// when the pod was ready or not.
    fn open_gate(&mut self, name: &str, is_open: bool) -> Instant {
        let pod = format!("/api/v1/namespaces/default/pods/{name}");
        let status = if is_open { "True" } else { "False" };
        let patch = json!({"status": {"conditions": [{"type": GATE, "status": status}]}});
        let deadline = Instant::now() + PATIENCE;
        loop {
            let path = format!("{pod}/status");
            let (code, answer) = self.local.send("PATCH", &path, &patch.to_string()).unwrap();
            assert_eq!(code, 200, "{answer:#}");
            let tried = Instant::now();
            while tried.elapsed() < Duration::from_millis(500) {
                let (_, now) = self.local.send("GET", &pod, "").unwrap();
                if is_ready(code, &now) == is_open {
                    return Instant::now();
                }
                std::thread::sleep(Duration::from_millis(5));
            }
            assert!(Instant::now() < deadline, "{answer:#}");
        }
    }
}

/// The address that this machine would be reached at; nothing is sent.
fn own_address() -> IpAddr {
    let outer = UdpSocket::bind("0.0.0.0:0").unwrap();
    let own = outer
        .connect("192.0.2.1:9")
        .and_then(|()| outer.local_addr());
    own.map_or(IpAddr::from([127, 0, 0, 1]), |own| own.ip())
}

/// Says `outside` to every HTTP request, on the machine itself; its port.
fn outside() -> u16 {
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.unwrap();
            let mut request = [0; 1024];
            let _read = client.read(&mut request);
            let _written = client.write_all(b"HTTP/1.0 200 OK\r\n\r\noutside\n");
        }
    });
    port
}

/// What an HTTP server on the machine's loopback says.
fn fetch(port: u16) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// Answers every question for an address with 192.0.2.7, on the machine itself.
struct Resolver(SocketAddr);

impl Resolver {
    fn open() -> Self {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        let own = own_address();
        let address = SocketAddr::new(own, socket.local_addr().unwrap().port());
        std::thread::spawn(move || {
            let mut question = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut question) {
                let mut answer = question[..length].to_vec();
                let is_address = answer[length - 3] == 1;
                answer[2] |= 0x80;
                answer[7] = u8::from(is_address);
                if is_address {
                    // The question's name, type A, class IN, a minute, four bytes.
                    answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 7]);
                }
                socket.send_to(&answer, from).unwrap();
            }
        });
        Self(address)
    }
}

fn says(script: &str) -> Value {
    json!({
        "terminationGracePeriodSeconds": 0,
        "containers": [{"name": "app", "image": IMAGE, "command": ["/bin/sh", "-c", script]}],
    })
}

/// A body that came in chunks, each behind its length.
pub fn unchunked(body: &str) -> String {
    let mut whole = String::new();
    let mut rest = body;
    while let Some((length, after)) = rest.split_once("\r\n") {
        let length = usize::from_str_radix(length, 16).unwrap();
        whole += &after[..length];
        rest = &after[length + 2..];
    }
    whole
}

/// Serves its own name, and is ready when its gate is open.
fn web(hostname: &str) -> Value {
    let script =
        format!("mkdir -p /www; echo {hostname} > /www/index.html; exec httpd -f -p 8080 -h /www");
    let mut spec = says(&script);
    spec["hostname"] = json!(hostname);
    spec["subdomain"] = json!("backends");
    spec["readinessGates"] = json!([{"conditionType": GATE}]);
    spec
}

fn ready_addresses(slices: &Value) -> usize {
    let endpoints = slices["items"].as_array().into_iter().flatten();
    endpoints
        .filter(|slice| slice["metadata"]["labels"]["kubernetes.io/service-name"] == "web")
        .flat_map(|slice| slice["endpoints"].as_array().cloned().unwrap_or_default())
        .filter(|endpoint| endpoint["conditions"]["ready"] == true)
        .count()
}

/// Services of every type, and one for names whose endpoint is a server of this test.
fn make_services(node: &mut Node, resolver: &Resolver) {
    let ports = json!([{"name": "http", "port": 80, "targetPort": 8080}]);
    let selector = json!({"app": "web"});
    node.service("web", &json!({"selector": selector, "ports": ports}));
    node.service(
        "sticky",
        &json!({"selector": selector, "ports": ports, "sessionAffinity": "ClientIP"}),
    );
    node.service(
        "backends",
        &json!({"selector": selector, "ports": ports, "clusterIP": "None"}),
    );
    node.service(
        "door",
        &json!({"selector": selector, "type": "NodePort",
                "ports": [{"name": "http", "port": 80, "targetPort": 8080}]}),
    );
    node.service(
        "names",
        &json!({"ports": [{"name": "dns", "port": 53, "protocol": "UDP"}]}),
    );
    node.make(
        "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices",
        &json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {"name": "names", "labels": {"kubernetes.io/service-name": "names"}},
            "addressType": "IPv4",
            "ports": [{"name": "dns", "port": resolver.0.port(), "protocol": "UDP"}],
            "endpoints": [{"addresses": [resolver.0.ip().to_string()]}],
        }),
    );
    node.service(
        "empty",
        &json!({"selector": {"app": "nothing"}, "ports": ports}),
    );
}

/// The address of the service `web`.
fn web_address(node: &mut Node) -> String {
    let path = "/api/v1/namespaces/default/services/web";
    let address = node.local.send("GET", path, "").unwrap().1["spec"]["clusterIP"].clone();
    address.as_str().unwrap().to_owned()
}

/// Both ready pods answer, the third does not.
#[track_caller]
fn ready_pods_answer(node: &mut Node) {
    let said = node.ask(
        "ask-services",
        "sleep 1; for i in 1 2 3 4 5 6; do timeout 5 wget -q -O - http://web/; done
         echo; for i in 1 2 3 4; do timeout 5 wget -q -O - http://sticky.default.svc/; done
         echo; timeout 5 wget -O - http://empty/
         echo; echo | nc -w 5 kubernetes.default 443 && echo the server is there",
    );
    let parts: Vec<&str> = said.split("\n\n").collect();
    let [turns, sticky, empty, server] = parts.as_slice() else {
        panic!("{said}");
    };
    let mut answers: Vec<&str> = turns.lines().collect();
    answers.sort_unstable();
    assert_eq!(
        answers,
        ["host-a", "host-a", "host-a", "host-b", "host-b", "host-b"]
    );
    let mut stuck: Vec<&str> = sticky.lines().collect();
    assert_eq!(stuck.len(), 4, "{said}");
    stuck.dedup();
    assert_eq!(stuck.len(), 1, "{said}");
    assert!(empty.contains("Connection refused"), "{said}");
    assert!(server.contains("the server is there"), "{said}");
}

/// Names of all kinds.
#[track_caller]
fn names_are_found(node: &mut Node) {
    let address = web_address(node);
    let pod = "/api/v1/namespaces/default/pods/web-a";
    let pod_address = node.local.send("GET", pod, "").unwrap().1["status"]["podIP"].clone();
    let pod_address = pod_address.as_str().unwrap().to_owned();
    let names = "/api/v1/namespaces/default/services/names";
    let names = node.local.send("GET", names, "").unwrap().1["spec"]["clusterIP"].clone();
    let said = node.ask(
        "ask-names",
        &format!(
            "nslookup web.default.svc.cluster.local
             nslookup host-a.backends.default.svc.cluster.local
             nslookup -type=srv _http._tcp.web.default.svc.cluster.local
             nslookup {address}
             nslookup {pod_address}
             nslookup gone.default.svc.cluster.local
             nslookup cart. {}
             cat /etc/resolv.conf",
            names.as_str().unwrap()
        ),
    );
    for expected in [
        format!("Address: {address}\n"),
        format!("Address: {pod_address}\n"),
        "service = 0 100 80 web.default.svc.cluster.local".to_owned(),
        "name = web.default.svc.cluster.local".to_owned(),
        "name = host-a.backends.default.svc.cluster.local".to_owned(),
        "can't find gone.default.svc.cluster.local: NXDOMAIN".to_owned(),
        "Address: 192.0.2.7\n".to_owned(),
        "search default.svc.cluster.local svc.cluster.local cluster.local".to_owned(),
    ] {
        assert!(said.contains(&expected), "{expected} is not in: {said}");
    }
}

/// From the machine, and out to it.
#[track_caller]
#[expect(clippy::print_stdout, reason = "what was skipped and measured is told")]
fn ways_in_and_out_are_open(node: &mut Node, host_port: u16) {
    let address = web_address(node);
    let path = "/api/v1/namespaces/default/services/door";
    let door = node.local.send("GET", path, "").unwrap().1;
    let node_port = door["spec"]["ports"][0]["nodePort"].as_u64().unwrap();
    let said = fetch(u16::try_from(node_port).unwrap()).unwrap();
    assert!(said.contains("host-"), "{said}");
    assert!(fetch(host_port).unwrap().contains("host-b"));
    let own = own_address();
    let said = node.ask(
        "ask-outside",
        &format!(
            "timeout 5 wget -q -O - http://{own}:{}/
             echo services $KUBERNETES_SERVICE_HOST $WEB_SERVICE_HOST $WEB_SERVICE_PORT_HTTP",
            outside()
        ),
    );
    let services = format!("services 10.96.0.1 {address} 80\n");
    assert!(said.contains(&services), "{said}");
    if own.is_loopback() {
        println!("skipped: this machine has no address but its loopback's");
    } else {
        assert!(said.contains("outside\n"), "{said}");
    }
    let path = "/api/v1/namespaces/default/services/door";
    node.local.send("DELETE", path, "").unwrap();
    let deadline = Instant::now() + Duration::from_secs(2);
    while TcpStream::connect(("127.0.0.1", u16::try_from(node_port).unwrap())).is_ok() {
        assert!(Instant::now() < deadline, "a removed service listens");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Readiness is followed within a second, both ways.
#[track_caller]
#[expect(clippy::print_stdout, reason = "what was skipped and measured is told")]
fn readiness_is_followed(node: &mut Node) {
    node.pod("ask-on", &says(ASKS));
    node.log_until("ask-on", |log| log.lines().count() > 3);
    let opened = node.open_gate("web-c", true);
    node.log_until("ask-on", |log| log.contains("host-c"));
    let took = opened.elapsed();
    println!("a pod that is ready is asked after {took:?}");
    assert!(took < Duration::from_secs(2), "{took:?}");
    node.open_gate("web-c", false);
    std::thread::sleep(Duration::from_secs(1));
    let before = node.log("ask-on");
    let after = node.log_until("ask-on", |log| log.len() > before.len() + 100);
    let later = after.strip_prefix(before.as_str()).unwrap();
    assert!(!later.contains("host-c"), "{later}");
    assert!(!after.contains("nobody"), "{after}");
}

#[test]
fn pods_find_each_other_by_name_and_only_ready_ones_are_asked() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("home");
    if let Err(why) = prepare(folder.path(), &home) {
        println!("skipped: {why}");
        return;
    }
    let data = folder.path().join("data");
    let mut started = command(&data, &["--local-node"]);
    let served = Served::spawn(&data, started.env("XDG_DATA_HOME", &home));
    let mut node = Node {
        local: served.local(),
        served,
        _runs: Runs(data),
    };
    let resolver = Resolver::open();
    make_services(&mut node, &resolver);
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let host_port = free.local_addr().unwrap().port();
    drop(free);
    for name in ["web-a", "web-b", "web-c"] {
        let mut spec = web(&name.replace("web-", "host-"));
        if name == "web-b" {
            spec["containers"][0]["ports"] =
                json!([{"containerPort": 8080, "hostPort": host_port}]);
        }
        node.pod(name, &spec);
    }
    for name in ["web-a", "web-b", "web-c"] {
        let path = format!("/api/v1/namespaces/default/pods/{name}");
        node.wait_for(&path, |pod| pod["status"]["phase"] == "Running");
    }
    let slices = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";
    node.open_gate("web-a", true);
    node.open_gate("web-b", true);
    node.wait_for(slices, |slices| ready_addresses(slices) == 2);

    ready_pods_answer(&mut node);
    names_are_found(&mut node);
    ways_in_and_out_are_open(&mut node, host_port);
    readiness_is_followed(&mut node);
}
