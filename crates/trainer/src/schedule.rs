//! Learning-rate schedules as the papers' repositories compute them.

use serde::{Deserialize, Serialize};

/// How the rate falls after the warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decay {
    /// The rate stays at its base value.
    Constant,
    /// Straight to 0 at the last step (`get_polynomial_decay_schedule_with_warmup`, power 1).
    Linear,
    /// Half a cosine to 0 at the last step.
    Cosine,
}

/// How often the rate changes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pace {
    /// At every optimiser step.
    #[default]
    Step,
    /// At the start of every epoch, as Dassl's schedulers do.
    Epoch,
}

/// Linear warm-up from 0, then [`Decay`]: the schedule of ProReg's `vilt_utils.set_schedule`.
///
/// With `w` warm-up units of `n`: `t / w` for `t < w`; after it, with `x = (t - w) / (n - w)`,
/// `1`, `1 - x` or `(1 + cos(pi x)) / 2`. The first of several warm-up units has rate 0.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// Steps (or epochs, as `pace` says) of linear warm-up; below 1 it is a share of the whole run, rounded
    /// down, as in ProReg's configuration (default 0).
    #[serde(default)]
    pub warmup: f64,
    /// What follows.
    pub decay: Decay,
    /// What counts as one unit of time (default: a step).
    #[serde(default)]
    pub pace: Pace,
}

impl Schedule {
    /// Factor on the base learning rate at `step` (0-based) of `total` steps, `per_epoch` of them in one
    /// pass over the data.
    pub fn factor(&self, step: usize, total: usize, per_epoch: usize) -> f64 {
        let (now, end) = match self.pace {
            Pace::Step => (step, total),
            Pace::Epoch => (step / per_epoch.max(1), total.div_ceil(per_epoch.max(1))),
        };
        let warmup = if self.warmup < 1.0 { self.warmup * end as f64 } else { self.warmup } as usize;
        if now < warmup {
            return now as f64 / warmup as f64;
        }
        let span = end.saturating_sub(warmup).max(1) as f64;
        let progress = ((now - warmup) as f64 / span).min(1.0);
        match self.decay {
            Decay::Constant => 1.0,
            Decay::Linear => 1.0 - progress,
            Decay::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * progress).cos()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(warmup: f64, decay: Decay, pace: Pace) -> Schedule {
        Schedule { warmup, decay, pace }
    }

    #[test]
    fn proreg_published_rates() {
        // lr 1e-5, 20 steps, 2 of warm-up: the rates recorded from the official code.
        let schedule = schedule(2.0, Decay::Linear, Pace::Step);
        let rates: Vec<f64> = (0..6).map(|step| 1e-5 * schedule.factor(step, 20, 2)).collect();
        let recorded =
            [0.0, 5e-06, 1e-05, 9.444444444444445e-06, 8.888888888888888e-06, 8.333333333333334e-06];
        for (ours, theirs) in rates.iter().zip(recorded) {
            assert!((ours - theirs).abs() < 1e-18, "{ours} against {theirs}");
        }
    }

    #[test]
    fn cosine_starts_at_one_and_ends_near_zero() {
        let schedule = schedule(8.0, Decay::Cosine, Pace::Step);
        assert_eq!(schedule.factor(8, 80, 15), 1.0);
        assert!(schedule.factor(79, 80, 15) < 1e-3);
        assert!((schedule.factor(44, 80, 15) - 0.5).abs() < 1e-12);
    }

    #[test]
    fn by_epoch_the_rate_is_constant_within_one() {
        let schedule = schedule(0.0, Decay::Cosine, Pace::Epoch);
        let rates: Vec<f64> = (0..6).map(|step| 0.5 * schedule.factor(step, 6, 2)).collect();
        for (ours, theirs) in rates.iter().zip([0.5, 0.5, 0.375, 0.375, 0.125, 0.125]) {
            assert!((ours - theirs).abs() < 1e-12, "{rates:?}");
        }
    }

    #[test]
    fn a_warmup_below_one_is_a_share_of_the_run() {
        let share = schedule(0.1, Decay::Linear, Pace::Step);
        let steps = schedule(2.0, Decay::Linear, Pace::Step);
        assert!((0..20).all(|step| share.factor(step, 20, 4) == steps.factor(step, 20, 4)));
    }

    #[test]
    fn a_warmup_longer_than_the_run_never_divides_by_zero() {
        let schedule = schedule(10.0, Decay::Linear, Pace::Step);
        assert!((0..20).all(|step| schedule.factor(step, 5, 0).is_finite()));
    }
}
