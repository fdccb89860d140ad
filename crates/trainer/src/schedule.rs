//! Learning-rate schedules as the papers' repositories compute them.

use serde::{Deserialize, Serialize};

/// How the rate falls after the warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Decay {
    /// The rate stays at its base value.
    Constant,
    /// Straight to 0 at the last step (`get_polynomial_decay_schedule_with_warmup`, power 1).
    Linear,
    /// Half a cosine to 0 at the last step.
    Cosine,
    /// Half a cosine whose counter starts after the warm-up but whose period is the whole run, as Dassl's
    /// `build_lr_scheduler` makes it: `(1 + cos(pi (t - w) / n)) / 2`. The last rate is not 0.
    WholePeriodCosine,
    /// Half a cosine that the warm-up has already used up in part, as Dassl makes it without
    /// `WARMUP_RECOUNT`: `(1 + cos(pi t / n)) / (1 + cos(pi w / n))`.
    ContinuedCosine,
    /// `end + (base - end) (1 - x)^power` (`get_polynomial_decay_schedule_with_warmup`).
    Polynomial {
        /// The exponent.
        power: f64,
        /// The rate at the last step, not a share of the base rate.
        end: f64,
    },
}

/// How the rate rises during the warm-up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Warmup {
    /// `base t / w`: 0 in the first unit of time.
    #[default]
    FromZero,
    /// A rate of its own until the warm-up ends (Dassl's `ConstantWarmupScheduler`).
    Constant {
        /// That rate, not a share of the base rate.
        rate: f64,
    },
    /// `base t / w` too, but with a rate of its own in the first unit of time (Dassl's
    /// `LinearWarmupScheduler`).
    Linear {
        /// The first rate, not a share of the base rate.
        first: f64,
    },
}

impl Warmup {
    fn is_from_zero(&self) -> bool {
        *self == Self::FromZero
    }
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

/// A warm-up, by default linear from 0, then [`Decay`]: the schedule of ProReg's `vilt_utils.set_schedule`.
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
    /// How the rate rises in this time (default: from 0).
    #[serde(default, skip_serializing_if = "Warmup::is_from_zero")]
    pub rise: Warmup,
    /// What follows.
    pub decay: Decay,
    /// What counts as one unit of time (default: a step).
    #[serde(default)]
    pub pace: Pace,
}

impl Schedule {
    /// The learning rate at `step` (0-based) of `total` steps, `per_epoch` of them in one pass over the data.
    pub fn rate(&self, base: f64, step: usize, total: usize, per_epoch: usize) -> f64 {
        let (now, end) = match self.pace {
            Pace::Step => (step, total),
            Pace::Epoch => (step / per_epoch.max(1), total.div_ceil(per_epoch.max(1))),
        };
        let warmup = if self.warmup < 1.0 { self.warmup * end as f64 } else { self.warmup } as usize;
        if now < warmup {
            return match self.rise {
                Warmup::Constant { rate } => rate,
                Warmup::Linear { first } if now == 0 => first,
                Warmup::FromZero | Warmup::Linear { .. } => base * (now as f64 / warmup as f64),
            };
        }
        let span = end.saturating_sub(warmup).max(1) as f64;
        let progress = ((now - warmup) as f64 / span).min(1.0);
        let of_run = |units: usize| (units as f64 / end.max(1) as f64).min(1.0);
        match self.decay {
            Decay::Constant => base,
            Decay::Linear => base * (1.0 - progress),
            Decay::Cosine => base * half_cosine(progress),
            Decay::WholePeriodCosine => base * half_cosine(of_run(now - warmup)),
            // A run that is all warm-up leaves no cosine to continue.
            Decay::ContinuedCosine if warmup >= end => base,
            Decay::ContinuedCosine => base * (half_cosine(of_run(now)) / half_cosine(of_run(warmup))),
            Decay::Polynomial { power, end } => end + (base - end) * (1.0 - progress).powf(power),
        }
    }
}

/// `(1 + cos(pi progress)) / 2`.
fn half_cosine(progress: f64) -> f64 {
    0.5 * (1.0 + (std::f64::consts::PI * progress).cos())
}

/// The base rate times `factor` for every milestone that `epoch` has reached: what TeS's script does unless it is
/// told to use the cosine (`adjust_learning_rate` in `run.py`), as no published run does.
pub fn milestone_rate(base: f64, milestones: &[usize], factor: f64, epoch: usize) -> f64 {
    let reached = milestones.iter().filter(|milestone| epoch >= **milestone);
    reached.fold(base, |rate, _| rate * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(warmup: f64, decay: Decay, pace: Pace) -> Schedule {
        Schedule { warmup, rise: Warmup::FromZero, decay, pace }
    }

    #[test]
    fn dassl_published_rates() {
        // PromptSRC: lr 0.0025, 20 epochs, 1 of constant warm-up. From the official code.
        let schedule = Schedule {
            warmup: 1.0,
            rise: Warmup::Constant { rate: 1e-5 },
            decay: Decay::WholePeriodCosine,
            pace: Pace::Epoch,
        };
        let rate = |schedule: &Schedule, epoch: usize| schedule.rate(0.0025, epoch * 3, 60, 3);
        let recorded = [(0, 1e-5), (1, 0.0025), (2, 0.0024846104257439223), (19, 6.117935463105809e-05)];
        for (epoch, theirs) in recorded {
            assert!((rate(&schedule, epoch) / theirs - 1.0).abs() < 1e-12, "epoch {epoch}");
        }
        let continued = Schedule { decay: Decay::ContinuedCosine, ..schedule };
        for (epoch, theirs) in [(1, 0.0025), (2, 0.0024539265996184594), (19, 1.5484896642770573e-05)] {
            assert!((rate(&continued, epoch) / theirs - 1.0).abs() < 1e-12, "epoch {epoch}");
        }
        let rising = Schedule { warmup: 4.0, rise: Warmup::Linear { first: 1e-5 }, ..schedule };
        assert_eq!([0, 1, 3].map(|epoch| rate(&rising, epoch)), [1e-5, 0.0025 / 4.0, 0.0025 * 0.75]);
    }

    #[test]
    fn a_polynomial_ends_where_it_is_told_to() {
        let decay = Decay::Polynomial { power: 2.0, end: 0.1 };
        let schedule = schedule(0.0, decay, Pace::Step);
        assert_eq!(schedule.rate(1.1, 5, 10, 1), 0.1 + 0.25);
        assert_eq!(schedule.rate(1.1, 10, 10, 1), 0.1);
    }

    #[test]
    fn milestones_are_reached_at_their_epoch() {
        let rate = |epoch| milestone_rate(30.0, &[60, 80], 0.1, epoch);
        assert_eq!([0, 59, 60, 79].map(rate), [30.0, 30.0, 3.0, 3.0]);
        assert!((rate(99) - 0.3).abs() < 1e-12);
    }

    #[test]
    fn what_a_recipe_does_not_say_is_not_written() {
        let schedule = schedule(2.0, Decay::Linear, Pace::Step);
        let text = toml::to_string(&schedule).unwrap();
        assert!(!text.contains("rise"), "{text}");
        assert_eq!(toml::from_str::<Schedule>(&text).unwrap(), schedule);
    }

    #[test]
    fn proreg_published_rates() {
        // lr 1e-5, 20 steps, 2 of warm-up: the rates recorded from the official code.
        let schedule = schedule(2.0, Decay::Linear, Pace::Step);
        let rates: Vec<f64> = (0..6).map(|step| schedule.rate(1e-5, step, 20, 2)).collect();
        let recorded =
            [0.0, 5e-06, 1e-05, 9.444444444444445e-06, 8.888888888888888e-06, 8.333333333333334e-06];
        for (ours, theirs) in rates.iter().zip(recorded) {
            assert!((ours - theirs).abs() < 1e-18, "{ours} against {theirs}");
        }
    }

    #[test]
    fn cosine_starts_at_one_and_ends_near_zero() {
        let schedule = schedule(8.0, Decay::Cosine, Pace::Step);
        assert_eq!(schedule.rate(1.0, 8, 80, 15), 1.0);
        assert!(schedule.rate(1.0, 79, 80, 15) < 1e-3);
        assert!((schedule.rate(1.0, 44, 80, 15) - 0.5).abs() < 1e-12);
    }

    #[test]
    fn by_epoch_the_rate_is_constant_within_one() {
        let schedule = schedule(0.0, Decay::Cosine, Pace::Epoch);
        let rates: Vec<f64> = (0..6).map(|step| schedule.rate(0.5, step, 6, 2)).collect();
        for (ours, theirs) in rates.iter().zip([0.5, 0.5, 0.375, 0.375, 0.125, 0.125]) {
            assert!((ours - theirs).abs() < 1e-12, "{rates:?}");
        }
    }

    #[test]
    fn a_warmup_below_one_is_a_share_of_the_run() {
        let share = schedule(0.1, Decay::Linear, Pace::Step);
        let steps = schedule(2.0, Decay::Linear, Pace::Step);
        assert!((0..20).all(|step| share.rate(1.0, step, 20, 4) == steps.rate(1.0, step, 20, 4)));
    }

    #[test]
    fn a_warmup_longer_than_the_run_never_divides_by_zero() {
        let schedule = schedule(10.0, Decay::Linear, Pace::Step);
        assert!((0..20).all(|step| schedule.rate(1.0, step, 5, 0).is_finite()));
    }
}
