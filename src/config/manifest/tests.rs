//! Manifests read as `kubectl` reads them, and written so that it reads them back.

use std::collections::BTreeMap;

use serde_json::json;

use super::*;

#[test]
fn scalars_are_read_as_go_reads_them() {
    let check = |yaml: &str, wanted: Value| {
        let text = format!("apiVersion: v1\nkind: K\nx: {yaml}\n");
        let read = parse(&text, "f.yaml");
        assert_eq!(read.problems, [], "{yaml}");
        assert_eq!(read.documents[0].object["x"], wanted, "{yaml}");
    };
    check("yes", json!(true));
    check("off", json!(false));
    check("017", json!(15));
    check("1_000", json!(1000));
    check("0x1F", json!(31));
    check("1e3", json!(1000.0));
    check("'017'", json!("017"));
    check("100m", json!("100m"));
    check("~", json!(null));
    check("8Gi", json!("8Gi"));
}

#[test]
fn lists_are_expanded_and_empty_documents_skipped() {
    let text = "---\n# nothing\n---\napiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Pod, metadata: {name: a}}\n- {apiVersion: v1, kind: Pod, metadata: {name: b}}\n";
    let read = parse(text, "f.yaml");
    let names: Vec<&str> = read.documents.iter().map(Document::name).collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(read.documents[1].label(), "f.yaml:4: Pod b");
}

#[test]
fn a_broken_document_has_a_position_and_the_others_are_still_read() {
    let text = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n---\napiVersion: v1\nkind: [Pod\nmetadata: x\n---\napiVersion: v1\nkind: Pod\nmetadata: {name: c}\n";
    let read = parse(text, "f.yaml");
    let names: Vec<&str> = read.documents.iter().map(Document::name).collect();
    assert_eq!(names, ["a", "c"]);
    let [Problem::Syntax { line, expected, .. }] = read.problems.as_slice() else {
        panic!("{:?}", read.problems);
    };
    assert!((6..=8).contains(line), "line {line}");
    assert!(
        !expected.is_empty() && !expected.contains("line"),
        "{expected}"
    );
}

#[test]
fn what_is_no_object_is_named() {
    let check = |text: &str, wanted: &str| {
        let read = parse(text, "f.yaml");
        assert_eq!(read.problems[0].to_string(), wanted);
    };
    check(
        "\njust words\n",
        "f.yaml:2: expected an object with `apiVersion` and `kind`, found a text",
    );
    check("apiVersion: v1\n", "f.yaml:1: `kind` is missing or no text");
    check(
        "kind: Pod\napiVersion: 1\n",
        "f.yaml:1: `apiVersion` is missing or no text",
    );
}

#[test]
fn duplicate_keys_are_an_error() {
    let read = parse("apiVersion: v1\nkind: Pod\nkind: Service\n", "f.yaml");
    assert!(
        matches!(read.problems.as_slice(), [Problem::Syntax { line: 3, .. }]),
        "{:?}",
        read.problems
    );
}

/// What a Go parser would take for something else than text must come back as text.
#[test]
fn texts_survive_the_way_out_and_in() {
    let texts = [
        "yes",
        "no",
        "on",
        "off",
        "y",
        "n",
        "true",
        "null",
        "~",
        "",
        "017",
        "0o17",
        "1_000",
        "1e3",
        "0x1F",
        ".inf",
        "1:30",
        "2026-11-22",
        "- a",
        "# x",
        "a: b",
        " lead",
        "trail ",
        "two\nlines",
        "two\nlines\n",
        "*star",
        "&and",
        "%x",
        "@at",
        "`tick",
        "{a",
        "[b",
        "'q",
        "\"q",
        "tab\there",
        "=",
        "<<",
        "!tag",
        "| x",
        "ünï",
        "\u{7}",
        "a #b",
        "?",
        "-",
        "--- ",
        "12e03",
        "+1",
        "0b1",
        "  two\n lines\n\n",
        "key:",
        "\u{85}",
        "null ",
        "Infinity",
        "NaN",
        "0.1",
        "1.",
        "...",
    ];
    let object = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "data": texts.iter().enumerate().map(|(i, text)| (format!("k{i}"), json!(text)))
            .collect::<serde_json::Map<_, _>>(),
        "keys": texts.iter().map(|text| ((*text).to_owned(), json!(1)))
            .collect::<serde_json::Map<_, _>>(),
        "numbers": [0, -1, 1.5, 9_007_199_254_740_993_i64, true, null, [], {}, [[1]], [{"a": [1]}]],
    });
    let yaml = to_yaml(&object);
    let read = parse(&yaml, "f.yaml");
    assert_eq!(read.problems, [], "{yaml}");
    assert_eq!(read.documents[0].object, object, "{yaml}");
}

/// The whole corpus of published manifests: every object is found, and survives being written.
#[test]
fn the_published_manifests_are_read_object_by_object() {
    // Beside the repository; one level up more where a work tree of it is built.
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let places = ["../shared/manifests", "../../shared/manifests"];
    let Some(root) = places
        .map(|place| here.join(place))
        .into_iter()
        .find(|root| root.is_dir())
    else {
        eprintln!("skipped: ../shared/manifests is not on this machine");
        return;
    };
    let sources = fs::read_to_string(root.join("SOURCES.md")).unwrap();
    let mut wanted = BTreeMap::new();
    let rows = sources.lines().skip_while(|line| *line != "## Sources");
    for row in rows.skip(1).take_while(|line| !line.starts_with("##")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        if let (10, Ok(count)) = (cells.len(), cells.get(6).unwrap_or(&"").parse::<usize>()) {
            wanted.insert(cells[1].to_owned(), count);
        }
    }
    assert_eq!(wanted.len(), 34);
    let mut total = 0;
    for (application, count) in wanted {
        // CoreDNS publishes a template whose name does not end like a manifest's.
        let path = match application.as_str() {
            "coredns" => "coredns/coredns.yaml.sed",
            directory => directory,
        };
        let read = load(&root.join(path)).unwrap();
        assert_eq!(read.problems, [], "{application}");
        // The corpus counts the objects inside OpenShift templates too.
        let inner: usize = read
            .documents
            .iter()
            .filter(|document| document.kind() == "Template")
            .filter_map(|document| document.object["objects"].as_array())
            .map(Vec::len)
            .sum();
        assert_eq!(read.documents.len() + inner, count, "{application}");
        total += count;
        for document in &read.documents {
            let again = parse(&to_yaml(&document.object), "again.yaml");
            assert_eq!(again.problems, [], "{}", document.label());
            assert_eq!(
                again.documents[0].object,
                document.object,
                "{}",
                document.label()
            );
        }
    }
    assert_eq!(total, 996);
}
