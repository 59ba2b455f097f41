//! Tests of cron jobs: times, policies, histories.

use super::super::harness::Bench;
use super::*;
use crate::k8s::build::{self, Draft};

const ALL: [Controller; 2] = [CONTROLLER, job::CONTROLLER];

/// The bench's clock begins at 01:00:00.
fn cron(spec: &Value) -> Draft {
    build::object(resources::CRON_JOBS, "batch/v1", "CronJob", "report")
        .created("2026-01-01T00:59:30Z")
        .with(&json!({"spec": {
            "schedule": "*/5 * * * *",
            "concurrencyPolicy": "Allow",
            "jobTemplate": {
                "metadata": {"labels": {"app": "report"}},
                "spec": {"completions": 1, "parallelism": 1, "template": {"spec": {
                    "restartPolicy": "Never",
                    "containers": [{"name": "app", "image": "report:1"}],
                }}},
            },
        }}))
        .with(&json!({ "spec": spec }))
}

fn jobs(bench: &Bench) -> Vec<String> {
    bench.names(&resources::JOBS)
}

fn succeed(bench: &mut Bench) {
    for pod in bench.pods() {
        bench.finish(&pod, "Succeeded");
    }
    bench.settle();
}

#[test]
fn job_starts_at_each_time_and_is_named_after_it() {
    let mut bench = Bench::new(&ALL, &[cron(&json!({}))]);
    bench.settle();
    // 2026-01-01T01:00:00Z is minute 29453820 of the epoch.
    assert_eq!(jobs(&bench), ["report-29453820"]);
    bench.advance(299);
    assert_eq!(jobs(&bench).len(), 1);
    bench.advance(1);
    assert_eq!(jobs(&bench), ["report-29453820", "report-29453825"]);
    let job = bench.find(&resources::JOBS, "report-29453825");
    assert_eq!(
        job["metadata"]["annotations"][SCHEDULED_AT],
        "2026-01-01T01:05:00Z"
    );
    assert_eq!(job["metadata"]["labels"]["app"], "report");
    let status = bench.find(&resources::CRON_JOBS, "report")["status"].clone();
    assert_eq!(status["lastScheduleTime"], "2026-01-01T01:05:00Z");
    assert_eq!(status["active"].as_array().unwrap().len(), 2);
    succeed(&mut bench);
    let status = bench.find(&resources::CRON_JOBS, "report")["status"].clone();
    assert_eq!(status.get("active"), None);
    assert_eq!(status["lastSuccessfulTime"], "2026-01-01T01:05:00Z");
}

#[test]
fn concurrency_policy_is_kept() {
    let mut bench = Bench::new(&ALL, &[cron(&json!({"concurrencyPolicy": "Forbid"}))]);
    bench.advance(600);
    assert_eq!(jobs(&bench), ["report-29453820"]);
    succeed(&mut bench);
    assert_eq!(jobs(&bench).len(), 2, "the missed time is made up for");
    let mut bench = Bench::new(&ALL, &[cron(&json!({"concurrencyPolicy": "Replace"}))]);
    bench.advance(300);
    assert_eq!(jobs(&bench), ["report-29453825"]);
}

#[test]
fn history_is_kept_up_to_its_limits() {
    let mut bench = Bench::new(&ALL, &[cron(&json!({"successfulJobsHistoryLimit": 2}))]);
    for _ in 0..5 {
        bench.settle();
        succeed(&mut bench);
        bench.advance(300);
    }
    succeed(&mut bench);
    assert_eq!(jobs(&bench).len(), 2);
}

#[test]
fn suspended_or_unreadable_schedules_start_nothing() {
    for spec in [
        json!({"suspend": true}),
        json!({"schedule": "now and then"}),
    ] {
        let mut bench = Bench::new(&ALL, &[cron(&spec)]);
        bench.advance(3600);
        assert!(jobs(&bench).is_empty());
    }
}

#[test]
fn deadline_forgets_what_is_too_late() {
    let late = cron(&json!({"startingDeadlineSeconds": 60, "schedule": "0 0 * * *"}))
        .created("2025-12-31T00:00:00Z");
    let mut bench = Bench::new(&ALL, &[late]);
    bench.settle();
    assert!(jobs(&bench).is_empty());
}
