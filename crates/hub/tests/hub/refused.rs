//! Answers that refuse, and to whom the token goes.

use regulus_hub::TokenSource;

use crate::home::{Home, NOBODY, TOKEN, model, serving, wanted};
use crate::mock::repository::COMMIT;
use crate::mock::server::{Answer, Server};

#[test]
fn the_token_goes_to_the_hub() {
    let repository = model();
    let server = Server::start(move |seen| match seen.header("authorization") {
        Some(header) if header == format!("Bearer {TOKEN}") => repository.answer(seen),
        _ => Answer::new(401, ""),
    });
    Home::of(&server).with_token().fetch();
}

#[test]
fn a_token_that_is_none_disturbs_only_who_asks_the_hub() {
    let server = serving(&model());
    let mut home = Home::of(&server);
    let file = home.path().join("token");
    std::fs::write(&file, "hf_a hf_b").unwrap();
    for source in [TokenSource::File(file), TokenSource::Variable("hf_a hf_b".into())] {
        home.settings.token = source;
        let error = home.try_fetch().unwrap_err();
        assert!(error.is_of_request() && !error.to_string().contains("hf_a"), "{error}");
    }
    assert!(server.seen().is_empty() && !home.settings.hub.exists(), "nothing is asked or written");
    let bad = std::mem::replace(&mut home.settings.token, TokenSource::Nowhere);
    let path = home.fetch().path;
    home.settings.token = bad;
    let commit = wanted(&format!("org/model@{COMMIT}"));
    assert_eq!(commit.cached(&home.settings).as_ref(), Some(&path));
    assert_eq!(home.fetch_told(&commit).0.unwrap().path, path);
    assert_eq!(home.offline().fetch().path, path);
}

#[test]
fn the_token_does_not_go_to_another_host() {
    let repository = model();
    let elsewhere = Server::start(move |seen| repository.answer(seen));
    let (repository, there) = (model(), elsewhere.url());
    let hub = Server::start(move |seen| match seen.path.contains("/resolve/") {
        true => Answer::to(format!("{there}{}?Signature=abc", seen.path)),
        false => repository.answer(seen),
    });
    Home::of(&hub).with_token().fetch();
    assert_eq!(elsewhere.seen().len(), 2);
    assert!(
        elsewhere.seen().iter().all(|seen| seen.header("authorization").is_none()),
        "{:?}",
        elsewhere.seen()
    );
    assert!(elsewhere.seen().iter().all(|seen| seen.path.ends_with("?Signature=abc")));
    assert!(hub.seen().iter().all(|seen| seen.header("authorization").is_some()), "{:?}", hub.seen());
}

#[test]
fn nor_does_it_go_there_and_back() {
    let repository = model();
    let hub_url = std::sync::Arc::new(std::sync::OnceLock::<String>::new());
    let back = std::sync::Arc::clone(&hub_url);
    let elsewhere = Server::start(move |seen| Answer::to(format!("{}{}", back.get().unwrap(), seen.path)));
    let there = elsewhere.url();
    let hub = Server::start(move |seen| {
        if seen.path.contains("/resolve/") && !seen.path.ends_with("?back") {
            return Answer::to(format!("{there}{}?back", seen.path));
        }
        repository.answer(seen)
    });
    hub_url.set(hub.url()).unwrap();
    Home::of(&hub).with_token().fetch();
    assert!(elsewhere.seen().iter().all(|seen| seen.header("authorization").is_none()));
}

#[test]
fn a_failure_elsewhere_shows_no_signature() {
    let elsewhere = Server::start(|_| Answer::new(403, ""));
    let (repository, there) = (model(), elsewhere.url());
    let hub = Server::start(move |seen| match seen.path.contains("/resolve/") {
        true => Answer::to(format!("{there}/file?Signature=abc")),
        false => repository.answer(seen),
    });
    let error = Home::of(&hub).with_token().try_fetch().unwrap_err();
    let told = format!("{error} {error:?}");
    assert!(told.contains("/file") && !told.contains("Signature"), "{told}");
    assert!(told.contains("to which no token is sent"), "{told}");
}

#[test]
fn a_gated_repository_says_what_to_do() {
    for status in [401, 403] {
        let server = Server::start(move |_| Answer::new(status, ""));
        let without = Home::of(&server).failure();
        for part in
            [&status.to_string(), "no token was sent", "HF_TOKEN", "gated or private", "accept its terms"]
        {
            assert!(without.contains(part), "`{part}` is not in: {without}");
        }
        let with = Home::of(&server).with_token().failure();
        assert!(with.contains("the token was refused") && with.contains("HF_TOKEN"), "{with}");
        assert_eq!(server.seen().len(), 2, "a refusal is not tried again");
    }
}

#[test]
fn what_does_not_exist_is_named() {
    let server = Server::start(|_| Answer::new(404, ""));
    let message = Home::of(&server).failure();
    for part in
        ["/api/models/org/model/revision/main", "not found (404)", "no such repository, revision or file"]
    {
        assert!(message.contains(part), "`{part}` is not in: {message}");
    }
    assert!(!message.contains("blobs=true"), "{message}");
}

#[test]
fn redirects_end() {
    let server = Server::start(|seen| Answer::to(seen.path.clone()));
    let message = Home::of(&server).failure();
    assert!(message.contains("too many"), "{message}");
    assert_eq!(server.seen().len(), 9);
}

#[test]
fn redirects_to_nowhere_are_refused() {
    let cases = [
        (Answer::new(302, ""), "does not say where to"),
        (Answer::to("ftp://example/"), "https:// or http://"),
        (Answer::to("http://me:secret@example/"), "user name or a password"),
        (Answer::to("elsewhere"), "neither complete nor"),
    ];
    for (answer, part) in cases {
        let server = Server::start(move |_| answer.clone());
        let message = Home::of(&server).failure();
        assert!(message.contains(part) && !message.contains("secret"), "{message}");
    }
}

#[test]
fn other_answers_are_told() {
    let server = Server::start(|_| Answer::new(418, ""));
    assert!(Home::of(&server).failure().contains("the server answers 418"));
}

#[test]
fn nobody_at_the_endpoint_is_told() {
    let message = Home::new(NOBODY).with_token().failure();
    assert!(message.contains("no connection") && message.contains(NOBODY), "{message}");
}

#[test]
fn an_endpoint_that_speaks_something_else_is_told() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = std::io::Read::read(&mut stream, &mut [0; 1000]);
            let _ = std::io::Write::write_all(&mut stream, b"220 mail ready\r\n\r\n");
        }
    });
    let message = Home::new(&url).once().failure();
    assert!(message.contains("no answer that can be read"), "{message}");
}
