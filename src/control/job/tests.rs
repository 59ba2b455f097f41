//! Tests of jobs: completion, back-off, indexes, deadlines.

use super::super::harness::{Bench, check_order_independent};
use super::*;
use crate::k8s::build::{self, Draft};

const ALL: [Controller; 2] = [CONTROLLER, TTL];

fn job(spec: &Value) -> Draft {
    build::object(resources::JOBS, "batch/v1", "Job", "sum")
        .with(&json!({"spec": {
            "completions": 3, "parallelism": 2, "backoffLimit": 2,
            "template": {"spec": {
                "restartPolicy": "Never",
                "containers": [{"name": "app", "image": "sum:1"}],
            }},
        }}))
        .with(&json!({ "spec": spec }))
}

fn status(bench: &Bench) -> Value {
    bench.find(&resources::JOBS, "sum")["status"].clone()
}

fn conditions(bench: &Bench) -> Vec<String> {
    field::list(&status(bench), "/conditions")
        .iter()
        .map(|entry| {
            format!(
                "{}={}",
                field::text(entry, "/type"),
                field::text(entry, "/reason")
            )
        })
        .collect()
}

fn active(bench: &Bench) -> Vec<Arc<Object>> {
    bench
        .pods()
        .into_iter()
        .filter(|pod| pod::is_active(pod))
        .collect()
}

fn end(bench: &mut Bench, pod: &Object, phase: &str) {
    let mut ended = pod.json();
    ended["status"] = json!({"phase": phase, "containerStatuses": [{"name": "app", "restartCount": 0,
        "state": {"terminated": {"exitCode": 1, "finishedAt": write::time(bench.now)}}}]});
    let patch = json!({"status": ended["status"]});
    bench.edit(&resources::PODS, pod.name(), &patch);
    bench.settle();
}

#[test]
fn job_runs_to_completion_within_its_parallelism() {
    let mut bench = Bench::new(&ALL, &[job(&json!({}))]);
    bench.settle();
    let mut most = 0;
    while let Some(pod) = active(&bench).first().cloned() {
        most = most.max(active(&bench).len());
        end(&mut bench, &pod, "Succeeded");
    }
    assert_eq!(most, 2);
    let status = status(&bench);
    assert_eq!(
        (&status["succeeded"], status.get("active")),
        (&json!(3), None)
    );
    assert_eq!(status["startTime"], status["completionTime"]);
    assert_eq!(
        conditions(&bench),
        [
            "SuccessCriteriaMet=CompletionsReached",
            "Complete=CompletionsReached"
        ]
    );
    assert_eq!(bench.reasons().last(), Some(&"Completed"));
    assert_eq!(bench.pods().len(), 3, "finished pods stay for their logs");
}

#[test]
fn failures_back_off_and_then_fail_the_job() {
    let mut bench = Bench::new(&ALL, &[job(&json!({"completions": 1, "parallelism": 1}))]);
    bench.settle();
    for wait in [10, 20] {
        let pod = active(&bench).remove(0);
        end(&mut bench, &pod, "Failed");
        bench.advance(wait - 1);
        assert!(active(&bench).is_empty(), "{wait} s of back-off");
        bench.advance(1);
        assert_eq!(active(&bench).len(), 1);
    }
    let pod = active(&bench).remove(0);
    end(&mut bench, &pod, "Failed");
    assert_eq!(
        conditions(&bench),
        [
            "FailureTarget=BackoffLimitExceeded",
            "Failed=BackoffLimitExceeded"
        ]
    );
    assert_eq!(status(&bench)["failed"], 3);
}

#[test]
fn indexed_job_completes_each_index() {
    let spec = json!({"completionMode": "Indexed", "completions": 4, "parallelism": 4});
    let mut bench = Bench::new(&ALL, &[job(&spec)]);
    bench.settle();
    let pods = active(&bench);
    let mut indexes: Vec<i64> = pods.iter().filter_map(|pod| index::of(pod)).collect();
    indexes.sort_unstable();
    assert_eq!(indexes, [0, 1, 2, 3]);
    let second = pods.iter().find(|pod| index::of(pod) == Some(1)).unwrap();
    assert!(second.name().starts_with("sum-1-"));
    let json = second.json();
    assert_eq!(json["spec"]["hostname"], "sum-1");
    assert_eq!(
        json["spec"]["containers"][0]["env"][0]["name"],
        "JOB_COMPLETION_INDEX"
    );
    for pod in pods.iter().filter(|pod| index::of(pod) != Some(1)) {
        end(&mut bench, pod, "Succeeded");
    }
    assert_eq!(status(&bench)["completedIndexes"], "0,2,3");
    end(&mut bench, second, "Failed");
    bench.advance(30);
    let again = active(&bench).remove(0);
    assert_eq!(index::of(&again), Some(1));
    end(&mut bench, &again, "Succeeded");
    assert_eq!(status(&bench)["completedIndexes"], "0-3");
    assert!(conditions(&bench).contains(&"Complete=CompletionsReached".to_owned()));
}

#[test]
fn work_queue_job_stops_with_the_first_success() {
    let mut bench = Bench::new(
        &ALL,
        &[job(&json!({"completions": null, "parallelism": 2}))],
    );
    bench.settle();
    let pods = active(&bench);
    end(&mut bench, &pods[0], "Succeeded");
    assert_eq!(
        active(&bench).len(),
        1,
        "the other one runs on, no new one comes"
    );
    end(&mut bench, &pods[1], "Succeeded");
    assert!(conditions(&bench).contains(&"Complete=CompletionsReached".to_owned()));
}

#[test]
fn deadline_ends_the_pods() {
    let mut bench = Bench::new(&ALL, &[job(&json!({"activeDeadlineSeconds": 60}))]);
    bench.settle();
    for pod in active(&bench) {
        bench.start(&pod, "n1");
    }
    bench.advance(59);
    assert_eq!(active(&bench).len(), 2);
    bench.advance(1);
    assert!(active(&bench).is_empty());
    assert_eq!(
        conditions(&bench),
        ["FailureTarget=DeadlineExceeded"],
        "pods are still ending"
    );
    bench.run_pods("n1");
    assert_eq!(
        conditions(&bench).last().unwrap(),
        "Failed=DeadlineExceeded"
    );
}

#[test]
fn suspended_job_has_no_pods_until_it_is_resumed() {
    let mut bench = Bench::new(&ALL, &[job(&json!({"suspend": true}))]);
    bench.settle();
    assert!(active(&bench).is_empty());
    assert_eq!(conditions(&bench), ["Suspended=JobSuspended"]);
    bench.edit(
        &resources::JOBS,
        "sum",
        &json!({"spec": {"suspend": false}}),
    );
    bench.settle();
    assert_eq!(active(&bench).len(), 2);
    assert_eq!(conditions(&bench), ["Suspended=JobResumed"]);
}

#[test]
fn finished_job_is_deleted_after_its_time_to_live() {
    let spec = json!({"completions": 1, "ttlSecondsAfterFinished": 100});
    let mut bench = Bench::new(&ALL, &[job(&spec)]);
    bench.settle();
    let pod = active(&bench).remove(0);
    end(&mut bench, &pod, "Succeeded");
    bench.advance(99);
    assert_eq!(bench.cluster.count(&resources::JOBS), 1);
    bench.advance(1);
    let job = bench.find(&resources::JOBS, "sum");
    assert_eq!(job["metadata"]["finalizers"], json!(["foregroundDeletion"]));
}

#[test]
fn ends_the_same_in_any_order() {
    check_order_independent(&ALL, &[job(&json!({}))], |bench| {
        bench.settle();
        for _ in 0..3 {
            let pod = active(bench).remove(0);
            end(bench, &pod, "Succeeded");
        }
    });
}

fn with_rules(rules: &Value) -> Bench {
    let spec = json!({"parallelism": 1, "backoffLimit": 0, "podFailurePolicy": {"rules": rules}});
    let mut bench = Bench::new(&ALL, &[job(&spec)]);
    bench.settle();
    bench
}

#[test]
fn a_rule_about_exit_codes_fails_the_job_at_once() {
    let codes = json!({"containerName": "app", "operator": "In", "values": [1, 42]});
    let mut bench = with_rules(&json!([{"action": "FailJob", "onExitCodes": codes}]));
    let pod = active(&bench).remove(0);
    end(&mut bench, &pod, "Failed");
    assert_eq!(
        conditions(&bench),
        ["FailureTarget=PodFailurePolicy", "Failed=PodFailurePolicy"]
    );
    let message = format!(
        "Container app for pod default/{} failed with exit code 1 matching FailJob rule at index 0",
        pod.name()
    );
    assert_eq!(status(&bench)["conditions"][1]["message"], message);
}

#[test]
fn an_ignored_failure_does_not_count_against_the_limit() {
    let codes = json!({"operator": "NotIn", "values": [42]});
    let mut bench = with_rules(&json!([{"action": "Ignore", "onExitCodes": codes}]));
    let pod = active(&bench).remove(0);
    end(&mut bench, &pod, "Failed");
    assert!(conditions(&bench).is_empty());
    assert_eq!(status(&bench).get("failed"), None);
    assert_eq!(active(&bench).len(), 1, "it is run again at once");
}

#[test]
fn a_success_policy_ends_the_job_before_all_indexes_are_done() {
    let spec = json!({
        "completionMode": "Indexed", "completions": 3, "parallelism": 3,
        "successPolicy": {"rules": [{"succeededIndexes": "0,2", "succeededCount": 1}]},
    });
    let mut bench = Bench::new(&ALL, &[job(&spec)]);
    bench.settle();
    let of = |wanted| move |pod: &Arc<Object>| index::of(pod) == Some(wanted);
    let second = active(&bench).into_iter().find(of(1)).unwrap();
    end(&mut bench, &second, "Succeeded");
    assert!(conditions(&bench).is_empty(), "index 1 is not asked for");
    let third = active(&bench).into_iter().find(of(2)).unwrap();
    end(&mut bench, &third, "Succeeded");
    assert_eq!(conditions(&bench)[0], "SuccessCriteriaMet=SuccessPolicy");
    assert_eq!(active(&bench).len(), 0);
}

fn of(wanted: i64) -> impl Fn(&Arc<Object>) -> bool {
    move |pod| index::of(pod) == Some(wanted)
}

fn indexed(spec: &Value) -> Bench {
    let mut whole = json!({
        "completionMode": "Indexed", "completions": 3, "parallelism": 3,
        "backoffLimit": i32::MAX, "backoffLimitPerIndex": 1,
    });
    json_patch::merge(&mut whole, spec);
    let mut bench = Bench::new(&ALL, &[job(&whole)]);
    bench.settle();
    bench
}

#[test]
fn an_index_fails_by_itself_after_its_own_tries() {
    let mut bench = indexed(&json!({}));
    let first = active(&bench).into_iter().find(of(1)).unwrap();
    let count = |pod: &Object| {
        let json = pod.json();
        field::text(
            &json,
            "/metadata/annotations/batch.kubernetes.io~1job-index-failure-count",
        )
        .to_owned()
    };
    assert_eq!(count(&first), "0");
    end(&mut bench, &first, "Failed");
    assert!(
        !active(&bench).iter().any(of(1)),
        "it waits before it is tried again"
    );
    bench.advance(10);
    let second = active(&bench).into_iter().find(of(1)).unwrap();
    assert_eq!(count(&second), "1");
    end(&mut bench, &second, "Failed");
    bench.advance(60);
    assert!(!active(&bench).iter().any(of(1)), "both tries are gone");
    assert_eq!(status(&bench)["failedIndexes"], "1");
    assert!(conditions(&bench).is_empty(), "the others go on");
    for pod in active(&bench) {
        end(&mut bench, &pod, "Succeeded");
    }
    assert_eq!(
        conditions(&bench),
        ["FailureTarget=FailedIndexes", "Failed=FailedIndexes"]
    );
    let status = status(&bench);
    assert_eq!(
        (&status["completedIndexes"], &status["failedIndexes"]),
        (&json!("0,2"), &json!("1"))
    );
    assert_eq!(status["conditions"][1]["message"], "Job has failed indexes");
}

#[test]
fn too_many_failed_indexes_end_the_job() {
    let codes = json!({"operator": "In", "values": [1]});
    let mut bench = indexed(&json!({
        "maxFailedIndexes": 1,
        "podFailurePolicy": {"rules": [{"action": "FailIndex", "onExitCodes": codes}]},
    }));
    for wanted in [0, 2] {
        let pod = active(&bench).into_iter().find(of(wanted)).unwrap();
        assert!(conditions(&bench).is_empty());
        end(&mut bench, &pod, "Failed");
    }
    assert_eq!(status(&bench)["failedIndexes"], "0,2");
    assert_eq!(
        conditions(&bench)[0],
        "FailureTarget=MaxFailedIndexesExceeded"
    );
    assert!(active(&bench).is_empty());
}
