//! Connections that end, hang or dawdle, disks that are full, and people who press Ctrl-C.

use std::cell::Cell;
use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use regulus_hub::{Event, FetchError, Watch};

use crate::home::{Home, bytes, model, serving, wanted};
use crate::mock::repository::Repository;
use crate::mock::server::{Answer, Seen, Sending, Server};

/// A server whose weights are sent as `weights` says; it is given how often they have been asked for before.
fn weights_sent(weights: impl Fn(&Seen, usize, Answer) -> Answer + Send + Sync + 'static) -> Server {
    let (repository, asked) = (model(), AtomicUsize::new(0));
    Server::start(move |seen| {
        let answer = repository.answer(seen);
        if seen.path.ends_with("/model.safetensors") {
            weights(seen, asked.fetch_add(1, Ordering::Relaxed), answer)
        } else {
            answer
        }
    })
}

/// The first bytes that were asked for, request by request.
fn ranges(server: &Server) -> Vec<Option<usize>> {
    server.seen_for("/model.safetensors").iter().map(Seen::from).collect()
}

fn assert_complete(home: &Home) {
    assert_eq!(fs::read(home.snapshot().join("model.safetensors")).unwrap(), bytes(300_000));
    assert!(!home.partial(&model(), "model.safetensors").exists());
}

#[test]
fn a_truncated_download_goes_on_where_it_ended() {
    let server = weights_sent(|_, asked, answer| match asked {
        0 => answer.sent(Sending::Only(100_000)),
        1 => answer.sent(Sending::Only(50_000)),
        _ => answer,
    });
    let home = Home::of(&server);
    home.fetch();
    assert_eq!(ranges(&server), [None, Some(100_000), Some(150_000)]);
    assert_complete(&home);
}

#[test]
fn what_is_there_of_a_truncated_download_is_told_and_used_next_time() {
    let server = weights_sent(
        |_, asked, answer| if asked == 0 { answer.sent(Sending::Only(102_400)) } else { answer },
    );
    let home = Home::of(&server).once();
    let message = home.failure();
    for part in ["ended early", "100.0 KiB of 293.0 KiB", ".incomplete", "run the command again"] {
        assert!(message.contains(part), "`{part}` is not in: {message}");
    }
    assert_eq!(fs::metadata(home.partial(&model(), "model.safetensors")).unwrap().len(), 102_400);
    assert_eq!(home.fetch().downloaded, 300_000 - 102_400);
    assert_eq!(ranges(&server), [None, Some(102_400)]);
    assert_complete(&home);
}

#[test]
fn a_part_of_pythons_client_is_completed() {
    let server = weights_sent(|_, _, answer| answer);
    let home = Home::of(&server);
    let partial = home.partial(&model(), "model.safetensors");
    fs::create_dir_all(partial.parent().unwrap()).unwrap();
    fs::write(&partial, &bytes(300_000)[..7]).unwrap();
    home.fetch();
    assert_eq!(ranges(&server), [Some(7)]);
    assert_complete(&home);
}

#[test]
fn a_server_that_knows_no_ranges_sends_all_again() {
    let server = weights_sent(|_, asked, _| {
        let whole = Answer::new(200, bytes(300_000));
        if asked == 0 { whole.sent(Sending::Only(1000)) } else { whole }
    });
    let home = Home::of(&server);
    home.fetch();
    assert_eq!(ranges(&server), [None, Some(1000)]);
    assert_complete(&home);
}

#[test]
fn a_part_of_something_else_is_thrown_away() {
    let answers: [fn() -> Answer; 3] = [
        || Answer::new(416, "").with("Content-Range", "bytes */5"),
        || Answer::new(206, bytes(10)).with("Content-Range", "bytes 0-9/300000"),
        || Answer::new(206, bytes(10)).with("Content-Range", "bytes 1000-1009/1010"),
    ];
    for odd in answers {
        let server = weights_sent(move |seen, asked, answer| match (asked, seen.from()) {
            (0, _) => answer.sent(Sending::Only(1000)),
            (_, Some(_)) => odd(),
            (_, None) => answer,
        });
        let home = Home::of(&server);
        home.fetch();
        assert_eq!(ranges(&server), [None, Some(1000), None]);
        assert_complete(&home);
    }
}

#[test]
fn a_part_that_is_too_long_is_thrown_away() {
    let server = weights_sent(|_, _, answer| answer);
    let home = Home::of(&server);
    let partial = home.partial(&model(), "model.safetensors");
    fs::create_dir_all(partial.parent().unwrap()).unwrap();
    fs::write(&partial, bytes(300_001)).unwrap();
    home.fetch();
    assert_eq!(ranges(&server), [None]);
    assert_complete(&home);
}

#[test]
fn a_complete_part_needs_no_request() {
    let server = weights_sent(|_, _, answer| answer);
    let home = Home::of(&server);
    let partial = home.partial(&model(), "model.safetensors");
    fs::create_dir_all(partial.parent().unwrap()).unwrap();
    fs::write(&partial, bytes(300_000)).unwrap();
    home.fetch();
    assert!(ranges(&server).is_empty());
    assert_complete(&home);
}

#[test]
fn a_server_that_says_nothing_is_left() {
    let server = Server::start(|_| Answer::silence());
    let mut home = Home::of(&server).once();
    home.settings.patience.idle = Duration::from_millis(100);
    let error = home.try_fetch().unwrap_err();
    assert!(matches!(error, FetchError::TimedOut { what: "answer", .. }), "{error}");
    assert!(error.to_string().contains("no answer within 100ms"));
}

#[test]
fn a_download_that_hangs_goes_on_over_another_connection() {
    let server =
        weights_sent(|_, asked, answer| if asked == 0 { answer.sent(Sending::Hang(80_000)) } else { answer });
    let mut home = Home::of(&server);
    home.settings.patience.idle = Duration::from_millis(500);
    home.fetch();
    assert_eq!(ranges(&server), [None, Some(80_000)]);
    assert_complete(&home);
}

#[test]
fn a_download_that_always_hangs_is_told() {
    let server = weights_sent(|_, _, answer| answer.sent(Sending::Hang(10)));
    let mut home = Home::of(&server);
    home.settings.patience.idle = Duration::from_millis(400);
    let error = home.try_fetch().unwrap_err();
    assert!(matches!(error, FetchError::TimedOut { what: "further byte", .. }), "{error}");
    assert_eq!(ranges(&server), [None, Some(10), Some(20)]);
}

#[test]
fn a_slow_and_steady_download_may_take_as_long_as_it_likes() {
    let server =
        weights_sent(|_, _, answer| answer.sent(Sending::Slowly(30_000, Duration::from_millis(200))));
    let mut home = Home::of(&server).once();
    home.settings.patience.idle = Duration::from_millis(900);
    let began = Instant::now();
    home.fetch();
    assert!(began.elapsed() > 2 * home.settings.patience.idle, "{:?}", began.elapsed());
    assert_complete(&home);
}

#[test]
fn an_overloaded_server_is_asked_again() {
    let asked = AtomicUsize::new(0);
    let repository = model();
    let server = Server::start(move |seen| match asked.fetch_add(1, Ordering::Relaxed) {
        0 => Answer::new(429, "").with("Retry-After", "3600"),
        1 => Answer::new(503, ""),
        _ => repository.answer(seen),
    });
    let home = Home::of(&server);
    home.fetch();
    assert_eq!(server.seen_for("?blobs=true").len(), 3);
}

#[test]
fn a_server_that_stays_overloaded_is_told() {
    let server = Server::start(|_| Answer::new(503, ""));
    let message = Home::of(&server).failure();
    assert!(message.contains("answers 503, several times"), "{message}");
    assert_eq!(server.seen().len(), 3);
}

#[test]
fn an_interrupted_download_is_kept() {
    let server = serving(&model());
    let home = Home::of(&server);
    let far = Cell::new(false);
    let mut tell = |event: Event<'_>| {
        if let Event::Progress { file: "model.safetensors", done: 1.., .. } = event {
            far.set(true);
        }
    };
    let mut watch = Watch { stop: &|| far.get(), tell: &mut tell };
    let error = wanted("org/model").fetch(&home.settings, &mut watch).unwrap_err();
    assert!(error.to_string().contains("run the command again"));
    let FetchError::Stopped { kept } = error else { panic!("{error}") };
    assert_eq!(fs::metadata(home.partial(&model(), "model.safetensors")).unwrap().len(), kept);
    assert!((1..300_000).contains(&kept), "{kept}");
    assert_eq!(home.fetch().downloaded, 300_000 - kept);
    assert_complete(&home);
}

#[test]
fn an_interruption_ends_the_list_of_files() {
    let listing = " ".repeat(1 << 20);
    let server = Server::start(move |_| Answer::new(200, listing.clone()));
    let stop = || !server.seen().is_empty();
    let mut watch = Watch { stop: &stop, tell: &mut |_| {} };
    let error = wanted("org/model").fetch(&Home::of(&server).settings, &mut watch).unwrap_err();
    assert!(error.is_stop(), "the list is not read to its end, which is no list: {error}");
}

#[test]
fn an_interruption_ends_a_pause() {
    let server = Server::start(|_| Answer::new(503, ""));
    let mut home = Home::of(&server);
    home.settings.patience.pause = Duration::from_secs(600);
    home.settings.patience.longest_pause = Duration::from_secs(600);
    let stop = || !server.seen().is_empty();
    let error = wanted("org/model").fetch(&home.settings, &mut Watch { stop: &stop, tell: &mut |_| {} });
    assert!(error.unwrap_err().is_stop());
}

/// Linux has a file on which every write finds the disk full.
#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_fills_up_is_told_with_what_is_needed() {
    let server = weights_sent(|_, _, answer| answer);
    let home = Home::of(&server);
    let partial = home.partial(&model(), "model.safetensors");
    fs::create_dir_all(partial.parent().unwrap()).unwrap();
    std::os::unix::fs::symlink("/dev/full", &partial).unwrap();
    let error = home.try_fetch().unwrap_err();
    assert!(matches!(error, FetchError::NoSpace { needed: 300_000, free: None, .. }), "{error:?}");
    for part in ["the disk is full", "293.0 KiB", ".incomplete", "HF_HOME"] {
        assert!(error.to_string().contains(part), "`{part}` is not in: {error}");
    }
    assert!(partial.is_symlink(), "the partial file is kept");
    assert!(!home.blob(&model(), "model.safetensors").exists());
    assert_eq!(ranges(&server).len(), 1, "a full disk is not tried again");
}

#[cfg(unix)]
#[test]
fn a_disk_that_is_too_small_is_told_before_anything_is_downloaded() {
    let repository = Repository::default().with("config.json", "{}").with("model.safetensors", bytes(2000));
    let server = Server::start(move |seen| {
        let answer = repository.answer(seen);
        if seen.path.contains("/api/") {
            let mut listing = repository.listing();
            listing["siblings"][1]["lfs"]["size"] = (1_u64 << 60).into();
            return Answer::new(200, listing.to_string());
        }
        answer
    });
    let home = Home::of(&server);
    let error = home.try_fetch().unwrap_err();
    assert!(matches!(error, FetchError::NoSpace { free: Some(_), .. }), "{error:?}");
    assert!(error.to_string().contains("1048576.0 TiB more are needed and "), "{error}");
    assert_eq!(server.seen().len(), 1);
}
