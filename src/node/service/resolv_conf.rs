//! A pod's `/etc/resolv.conf`.
//!
//! Source: the kubelet's `dns.Configurer` (`GetPodDNS`, `appendDNSConfig`) and "DNS for Services and
//! Pods", Kubernetes documentation. Meant difference: pods with a network of their own that ask for
//! the machine's resolver are sent to the node's, which passes their questions on, because the
//! machine's may only be reached from the machine (`127.0.0.53`).

use k8s_openapi::api::core::v1::{PodDNSConfig, PodSpec};

use super::{DOMAIN, NAME_SERVER};

/// Source: `validation.MaxDNSNameservers`.
const SERVERS_MAX: usize = 3;

#[derive(Clone, Debug, Default)]
struct Parts {
    servers: Vec<String>,
    searches: Vec<String>,
    /// With their values, as `ndots:5`.
    options: Vec<String>,
}

/// The text for a pod, by the machine's own file.
pub fn text(spec: &PodSpec, namespace: &str, machine: &str) -> String {
    let is_host = spec.host_network == Some(true);
    let machine = read(machine);
    let mut parts = match (spec.dns_policy.as_deref(), is_host) {
        (Some("None"), _) => Parts::default(),
        // The node's name server cannot be reached from the machine's network.
        (_, true) => machine,
        (Some("Default"), false) => Parts {
            servers: vec![NAME_SERVER.to_string()],
            ..machine
        },
        (_, false) => Parts {
            servers: vec![NAME_SERVER.to_string()],
            searches: [
                format!("{namespace}.svc.{DOMAIN}"),
                format!("svc.{DOMAIN}"),
                DOMAIN.to_owned(),
            ]
            .into_iter()
            .chain(machine.searches)
            .collect(),
            options: vec!["ndots:5".to_owned()],
        },
    };
    if let Some(own) = &spec.dns_config {
        parts.append(own);
    }
    parts.write()
}

/// The name servers of a file.
pub fn servers(text: &str) -> Vec<String> {
    read(text).servers
}

fn read(text: &str) -> Parts {
    let mut parts = Parts::default();
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        let key = words.next();
        let rest = words.map(str::to_owned);
        match key {
            Some("nameserver") => parts.servers.extend(rest.take(1)),
            // The last line holds.
            Some("search" | "domain") => parts.searches = rest.collect(),
            Some("options") => parts.options = rest.collect(),
            _ => {}
        }
    }
    parts
}

impl Parts {
    fn append(&mut self, own: &PodDNSConfig) {
        self.servers
            .extend(own.nameservers.iter().flatten().cloned());
        self.searches.extend(own.searches.iter().flatten().cloned());
        for option in own.options.iter().flatten() {
            let Some(name) = &option.name else { continue };
            self.options
                .retain(|old| old.split(':').next() != Some(name.as_str()));
            self.options.push(match &option.value {
                Some(value) => format!("{name}:{value}"),
                None => name.clone(),
            });
        }
    }

    fn write(self) -> String {
        let searches = unique(self.searches);
        let search = (!searches.is_empty()).then(|| format!("search {}\n", searches.join(" ")));
        let servers = unique(self.servers).into_iter().take(SERVERS_MAX);
        let servers = servers.map(|server| format!("nameserver {server}\n"));
        let has_options = !self.options.is_empty();
        let options = has_options.then(|| format!("options {}\n", self.options.join(" ")));
        search.into_iter().chain(servers).chain(options).collect()
    }
}

fn unique(words: Vec<String>) -> Vec<String> {
    let mut once = indexmap::IndexSet::new();
    once.extend(words);
    once.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const MACHINE: &str = "# here\nnameserver 127.0.0.53\nsearch lab.example\noptions edns0\n";

    #[track_caller]
    fn check(spec: Value, expected: &str) {
        let mut spec = spec;
        spec["containers"] = json!([]);
        let spec: PodSpec = serde_json::from_value(spec).unwrap();
        assert_eq!(text(&spec, "shop", MACHINE), expected);
    }

    #[test]
    fn policies_choose_the_resolver() {
        check(
            json!({"dnsPolicy": "ClusterFirst"}),
            "search shop.svc.cluster.local svc.cluster.local cluster.local lab.example\n\
             nameserver 10.96.0.10\noptions ndots:5\n",
        );
        check(
            json!({"dnsPolicy": "Default"}),
            "search lab.example\nnameserver 10.96.0.10\noptions edns0\n",
        );
        check(
            json!({"dnsPolicy": "ClusterFirst", "hostNetwork": true}),
            "search lab.example\nnameserver 127.0.0.53\noptions edns0\n",
        );
        check(json!({"dnsPolicy": "None"}), "");
    }

    #[test]
    fn a_pods_own_settings_are_appended() {
        let own = json!({
            "nameservers": ["192.0.2.1", "10.96.0.10"],
            "searches": ["cluster.local", "my.example"],
            "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}],
        });
        check(
            json!({"dnsPolicy": "ClusterFirst", "dnsConfig": own}),
            "search shop.svc.cluster.local svc.cluster.local cluster.local lab.example my.example\n\
             nameserver 10.96.0.10\nnameserver 192.0.2.1\noptions ndots:2 edns0\n",
        );
        check(
            json!({"dnsPolicy": "None", "dnsConfig": own}),
            "search cluster.local my.example\nnameserver 192.0.2.1\nnameserver 10.96.0.10\n\
             options ndots:2 edns0\n",
        );
    }
}
