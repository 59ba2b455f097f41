//! Fleet files: what they expand into, what is wrong with them, and the embedded ones.

use std::collections::BTreeSet;

use super::*;

const SMALL: &str = "\
machineTypes:
  std: {cpu: 16, memory: 64Gi, labels: {example.com/gen: g3}}
  gpu: {cpu: 32, memory: 128Gi, resources: {nvidia.com/gpu: 4}}
regions:
- name: eu
  zones:
  - name: eu-a
    power: [p1, p2]
    machines: {std: 3}
    labels: {example.com/hall: h1}
    racks:
    - a[1-2]
    - {name: a3, machines: {std: 1, gpu: 1}, power: p9}
workloads: [shop/]
";

fn parse(text: &str) -> Result<Fleet, FleetError> {
    Fleet::parse(text, "fleet.yaml", Path::new("/etc/fleet"))
}

#[test]
fn patterns_and_counts_expand_into_pools() {
    let fleet = parse(SMALL).unwrap();
    let pools: Vec<(&str, u32, &str, &str)> = fleet
        .pools
        .iter()
        .map(|pool| {
            let spec = &pool.spec;
            (
                pool.name.as_str(),
                spec.count,
                spec.name_prefix.as_str(),
                spec.power.as_str(),
            )
        })
        .collect();
    assert_eq!(
        pools,
        [
            ("a1-std", 3, "a1", "p1"),
            ("a2-std", 3, "a2", "p2"),
            ("a3-gpu", 1, "a3-gpu", "p9"),
            ("a3-std", 1, "a3-std", "p9"),
        ]
    );
    let spec = &fleet.pools[0].spec;
    assert_eq!(
        spec.labels.get("example.com/hall").map(Name::as_str),
        Some("h1")
    );
    assert_eq!(
        spec.labels.get("example.com/gen").map(Name::as_str),
        Some("g3")
    );
    assert_eq!(fleet.workloads, [PathBuf::from("/etc/fleet/shop/")]);
    assert_eq!(
        fleet.objects()[2]["spec"]["machineType"]["capacity"]["nvidia.com/gpu"],
        "4"
    );
}

#[test]
fn five_thousand_machines_are_short_to_write() {
    let text = "machineTypes: {m: {cpu: 64, memory: 256Gi}}\nregions: [{name: r, zones: [\
        {name: za, machines: {m: 50}, racks: 'a[001-050]'},\
        {name: zb, machines: {m: 50}, racks: 'b[001-050]'}]}]";
    let fleet = parse(text).unwrap();
    assert_eq!(fleet.machines(), 5_000);
    assert!(
        fleet
            .summary()
            .starts_with("1 region, 2 zones, 100 racks, 5000 machines")
            || fleet
                .summary()
                .starts_with("1 region, 2 zones, 100 racks, 5,000 machines"),
        "{}",
        fleet.summary()
    );
}

#[test]
fn errors_say_where_and_what_is_allowed() {
    let check = |from: &str, to: &str, wanted: &str| {
        let text = SMALL.replace(from, to);
        assert_ne!(text, SMALL);
        let error = parse(&text).unwrap_err().to_string();
        assert!(error.starts_with(wanted), "{error}");
    };
    check(
        "machines: {std: 3}",
        "machines: {huge: 3}",
        "fleet.yaml:9:22: regions[0].zones[0].machines.huge: there is no machine type `huge`; allowed: gpu, std",
    );
    check(
        "gpu: 1}, power",
        "tpu: 1}, power",
        "fleet.yaml:13:42: regions[0].zones[0].racks[1].machines.tpu: there is no machine type `tpu`",
    );
    check(
        "power: [p1, p2]",
        "feeds: [p1, p2]",
        "fleet.yaml:8:5: regions[0].zones[0]: unknown field `feeds`, expected one of `name`, `power`",
    );
    check(
        "cpu: 16",
        "cpu: lots",
        "fleet.yaml:2:14: machineTypes.std.cpu: ",
    );
    check(
        "- a[1-2]",
        "- a[2-1]",
        "fleet.yaml:12:7: regions[0].zones[0].racks[0]: `a[2-1]` must count upwards",
    );
    check(
        "name: a3",
        "name: a1",
        "fleet.yaml:13:7: regions[0].zones[0].racks[1]: there is a rack `a1` already",
    );
    check(
        "cpu: 16",
        "cpu: 0",
        "fleet.yaml:2:14: machineTypes.std.cpu: must be more than 0",
    );
    check(
        "name: eu-a",
        "name: EU A",
        "fleet.yaml:7:11: regions[0].zones[0].name: `EU A` is no name",
    );
    check(
        "machines: {std: 3}",
        "machines: {std: many}",
        "fleet.yaml:9:21: ",
    );
}

#[test]
fn the_standard_fleet_has_three_zones_twelve_racks_and_four_shapes() {
    let fleet = Fleet::parse(STANDARD, "standard.yaml", Path::new("")).unwrap();
    let distinct = |of: fn(&NodePoolSpec) -> &Name| {
        let all: BTreeSet<&Name> = fleet.pools.iter().map(|pool| of(&pool.spec)).collect();
        all.len()
    };
    assert_eq!(distinct(|spec| &spec.zone), 3);
    assert_eq!(distinct(|spec| &spec.rack), 12);
    assert_eq!(distinct(|spec| &spec.power), 6);
    assert_eq!(distinct(|spec| &spec.machine_type.name), 4);
    assert_eq!(fleet.machines(), 66);
    let summary = fleet.summary();
    assert!(
        summary.contains("gpu                          6"),
        "{summary}"
    );
}

#[test]
fn the_sample_is_in_order_and_fills_the_standard_fleet() {
    let sample = sample();
    assert_eq!(sample.problems, []);
    let mut seen = BTreeSet::new();
    let namespaces: BTreeSet<&str> = sample
        .documents
        .iter()
        .filter(|document| document.kind() == "Namespace")
        .map(manifest::Document::name)
        .collect();
    let mut asked_milli = 0;
    for document in &sample.documents {
        let key = (document.kind(), document.namespace(), document.name());
        assert!(seen.insert(key), "{key:?} twice");
        assert!(
            document.namespace().is_empty() || namespaces.contains(document.namespace()),
            "{}",
            document.label()
        );
        let replicas = document
            .object
            .pointer("/spec/replicas")
            .and_then(Value::as_i64);
        let template = document.object.pointer("/spec/template/spec");
        if let (Some(replicas), Some(template)) = (replicas, template) {
            let resources: crate::k8s::resource_list::PodResources =
                serde_json::from_value(template.clone()).unwrap();
            let requests = crate::k8s::resource_list::ResourceList::rounded(&resources.requests());
            asked_milli += replicas * requests.cpu_milli;
        }
    }
    let has_milli: i64 = Fleet::standard()
        .pools
        .iter()
        .map(|pool| i64::from(pool.spec.count) * pool.spec.machine_type.capacity["cpu"].milli())
        .sum();
    let share = asked_milli * 100 / has_milli;
    assert!(
        (55..=75).contains(&share),
        "{share}% of the cpu is asked for"
    );
}
