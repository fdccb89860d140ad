//! Published data sets, manifests, sampling and protocols, on miniatures in the exact layouts.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod check;
mod cifar;
mod dassl;
mod hostile;
mod layouts;
mod miniature;
mod protocols;
mod reference_page;
mod scale;
