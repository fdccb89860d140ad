//! Out of distribution: what trains, what tests in distribution, and what tests out of it. Out-of-distribution images
//! never select anything, so nothing here validates.

use super::{HOLD_OUT, Protocol, ProtocolError};
use crate::folders::{held_out as hold_out, nearest};
use crate::listing::{DatasetListing, Images};

/// The parts of a data set under a shift.
#[derive(Debug)]
pub(super) struct Shift {
    pub train: Images,
    pub tests: Vec<(String, Images)>,
}

/// Where the images are from.
///
/// - Without domains: `train` trains but for a stratified tenth, `id`; `test` is `ood`.
/// - With a test list per domain (DomainNet): `train` and `test` of the source domains, `test` of the held-out ones.
/// - With a validation list per domain (PACS): `train` and, as `id`, `val` of the source domains; all of the held-out
///   ones.
/// - Otherwise a stratified tenth of the source domains is `id`, and all of the held-out ones is tested.
pub(super) fn shift(
    protocol: &Protocol,
    source: &DatasetListing,
    held_out: &[String],
) -> Result<Shift, ProtocolError> {
    let dataset = || source.name.clone();
    if source.domains.is_empty() || held_out.is_empty() || held_out.len() >= source.domains.len() {
        if !source.domains.is_empty() || !held_out.is_empty() {
            return Err(ProtocolError::HeldOut { dataset: dataset(), domains: source.domains.clone() });
        }
        let needed = |split: &'static str| {
            source.split(split).ok_or_else(|| ProtocolError::NoSplit {
                protocol: protocol.to_string(),
                dataset: dataset(),
                split,
                found: source.splits.iter().map(|split| split.name.clone()).collect(),
            })
        };
        let (train, id) = cut(source, needed("train")?);
        return Ok(Shift {
            train,
            tests: vec![("id".to_owned(), id), ("ood".to_owned(), needed("test")?.clone())],
        });
    }
    let mut targets = Vec::new();
    for domain in held_out {
        let number = source.domain(domain).ok_or_else(|| ProtocolError::UnknownDomain {
            dataset: dataset(),
            domain: domain.clone(),
            nearest: nearest(domain, &source.domains),
            found: source.domains.clone(),
        })?;
        targets.push((domain, number));
    }
    let is_source = |domain: Option<usize>| targets.iter().all(|&(_, target)| domain != Some(target));
    let of_sources = |images: &Images| pick(images, is_source);
    let (train, id) = match (source.split("train"), source.split("test"), source.split("val")) {
        (Some(train), Some(id), _) | (Some(train), None, Some(id)) => (of_sources(train), of_sources(id)),
        _ => cut(source, &all(source, is_source)),
    };
    let mut tests = vec![("id".to_owned(), id)];
    for (domain, target) in targets {
        let is_target = |domain: Option<usize>| domain == Some(target);
        let images = match (source.split("train"), source.split("test")) {
            (Some(_), Some(test)) => pick(test, is_target),
            _ => all(source, is_target),
        };
        tests.push((format!("ood:{domain}"), images));
    }
    Ok(Shift { train, tests })
}

fn pick(images: &Images, wanted: impl Fn(Option<usize>) -> bool) -> Images {
    let mut picked = Images::default();
    images.iter().filter(|image| wanted(image.domain)).for_each(|image| picked.append(image, image.label));
    picked
}

/// The images of all splits in the wanted domains.
fn all(source: &DatasetListing, wanted: impl Fn(Option<usize>) -> bool) -> Images {
    let mut picked = Images::default();
    let images = source.splits.iter().flat_map(|split| split.images.iter());
    images.filter(|image| wanted(image.domain)).for_each(|image| picked.append(image, image.label));
    picked
}

/// Cuts the images that test in distribution off: the same for every seed, and the same that
/// [`folders`](crate::folders) cuts off. Both parts are sorted by path.
fn cut(source: &DatasetListing, images: &Images) -> (Images, Images) {
    let mut order: Vec<usize> = (0..images.len()).collect();
    order.sort_by_key(|&index| images.get(index).map(|image| image.path_bytes()));
    let sorted = images.pick(&order);
    let names: Vec<&str> = source.classes.names.iter().map(String::as_str).collect();
    let key = |index: usize| sorted.get(index).map(|image| image.path_bytes().to_vec()).unwrap_or_default();
    let held = hold_out(&sorted.labels(), key, &names, HOLD_OUT);
    let (mut train, mut id) = (Images::default(), Images::default());
    for (image, held) in sorted.iter().zip(held) {
        let part = if held { &mut id } else { &mut train };
        part.append(image, image.label);
    }
    (train, id)
}
