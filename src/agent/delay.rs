//! Believable durations: drawn from the seed and a name, so that the same pod on the same node
//! behaves the same in every run and in any order of events.

use jiff::SignedDuration;

use crate::stdx::rng::Stream;

/// Milliseconds, both ends included.
#[derive(Clone, Copy, Debug)]
pub struct Between(pub u64, pub u64);

/// The kubelet notices a pod that was bound to its node.
pub const NOTICE: Between = Between(30, 250);
/// The pod's network namespace and its address.
pub const SANDBOX: Between = Between(250, 900);
/// Creating and starting a container whose image is there.
pub const START: Between = Between(60, 350);
/// Asking the registry about an image that is there (`imagePullPolicy: Always`).
pub const REVALIDATE: Between = Between(250, 900);
/// A registry's refusal.
pub const REFUSAL: Between = Between(600, 2_000);
/// From a container's start to its first successful readiness probe, probe delays aside.
pub const WARM_UP: Between = Between(800, 4_000);
/// The work of an init container.
pub const INIT_WORK: Between = Between(900, 3_000);
/// The work of a container that is meant to end, when nothing says how long.
pub const JOB_WORK: Between = Between(8_000, 12_000);
/// From SIGTERM to the end of the process.
pub const STOP: Between = Between(1_000, 3_000);
/// Power is back until the kubelet answers.
pub const BOOT: Between = Between(4_000, 9_000);
/// A new machine's kubelet registers until it posts.
pub const REGISTER: Between = Between(200, 1_800);

/// A duration within the bounds that depends on the seed and the name alone.
pub fn draw(seed: u64, name: &str, between: Between) -> SignedDuration {
    let Between(least, most) = between;
    let mut stream = Stream::new(seed, name);
    let millis = least + stream.below(most.saturating_sub(least) + 1);
    SignedDuration::from_millis(i64::try_from(millis).unwrap_or(i64::MAX))
}

/// A number in `0..bound` that depends on the seed and the name alone.
pub fn number(seed: u64, name: &str, bound: u64) -> u64 {
    Stream::new(seed, name).below(bound)
}

/// How much an image weighs; it is the same image on every machine, so the name alone decides.
pub fn image_bytes(image: &str) -> u64 {
    // 18 to 420 MB, most of them small: the product of two draws leans to the low end.
    let mut stream = Stream::new(0, image);
    let lean = stream.below(1_000) * stream.below(1_000);
    18_000_000 + lean * 402 + stream.below(1_000)
}

/// How long a machine needs to pull that many bytes, at 60 to 140 MB/s.
pub fn pull(seed: u64, node: &str, image: &str) -> SignedDuration {
    let rate = 60_000 + number(seed, &format!("{node}/{image}/rate"), 80_000);
    let millis = 350 + image_bytes(image) / rate;
    SignedDuration::from_millis(i64::try_from(millis).unwrap_or(i64::MAX))
}
