//! Work in fixed pieces: the pieces never depend on the number of threads, so results do not either.

use rayon::prelude::*;

/// Runs `work` on every task with a scratch value that no other task uses at the same time.
///
/// With one thread the tasks run in place: handing them to the pool would only add a change of threads.
pub(crate) fn run<T: Send, S>(
    tasks: impl Iterator<Item = T>,
    scratch: impl Fn() -> S + Sync + Send,
    work: impl Fn(&mut S, T) + Sync + Send,
) {
    if rayon::current_num_threads() == 1 {
        let mut scratch = scratch();
        tasks.for_each(|task| work(&mut scratch, task));
    } else {
        tasks.collect::<Vec<_>>().into_par_iter().for_each_init(scratch, work);
    }
}
