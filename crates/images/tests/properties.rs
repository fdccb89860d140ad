//! Properties of resizing and cropping that hold for every image.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use regulus_images::{
    Filter, PassOrder, Preprocess, RgbImage, center_crop, decode, encode_png, flip_horizontal, resize,
};

fn image() -> impl Strategy<Value = RgbImage> {
    (1usize..24, 1usize..24).prop_flat_map(|(width, height)| {
        prop::collection::vec(any::<u8>(), width * height * 3)
            .prop_map(move |pixels| RgbImage::new(width, height, pixels).unwrap())
    })
}

/// Width and height to resize to.
fn size() -> impl Strategy<Value = (usize, usize)> {
    (1usize..40, 1usize..40)
}

fn filter() -> impl Strategy<Value = Filter> {
    prop_oneof![Just(Filter::Bicubic), Just(Filter::Bilinear)]
}

/// Smallest and largest value of a channel.
fn range(image: &RgbImage, channel: usize) -> (Option<u8>, Option<u8>) {
    let values = || image.pixels.iter().skip(channel).step_by(3).copied();
    (values().min(), values().max())
}

proptest! {
    #![proptest_config(ProptestConfig {
        rng_seed: RngSeed::Fixed(7),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn resizing_to_the_same_size_changes_nothing(image in image(), filter in filter()) {
        prop_assert_eq!(resize(&image, image.width, image.height, filter), image);
    }

    #[test]
    fn a_flat_colour_stays_flat(
        colour in any::<[u8; 3]>(), from in size(), to in size(), filter in filter(),
    ) {
        let flat = |(width, height)| RgbImage::new(width, height, colour.repeat(width * height)).unwrap();
        prop_assert_eq!(resize(&flat(from), to.0, to.1, filter), flat(to));
    }

    /// The weights of the triangle are never negative, so that no value leaves the range of the image.
    #[test]
    fn bilinear_stays_within_the_range_of_the_image(image in image(), to in size()) {
        let resized = resize(&image, to.0, to.1, Filter::Bilinear);
        prop_assert_eq!(resized.pixels.len(), to.0 * to.1 * 3);
        for channel in 0..3 {
            let (before, after) = (range(&image, channel), range(&resized, channel));
            prop_assert!(after.0 >= before.0 && after.1 <= before.1, "{:?} {:?}", before, after);
        }
    }

    /// Not to the last bit: the sums of a mirrored row are rounded elsewhere.
    #[test]
    fn mirroring_commutes_with_resizing(image in image(), to in size(), filter in filter()) {
        let resized_first = flip_horizontal(&resize(&image, to.0, to.1, filter));
        let mirrored_first = resize(&flip_horizontal(&image), to.0, to.1, filter);
        for (a, b) in resized_first.pixels.iter().zip(&mirrored_first.pixels) {
            prop_assert!(a.abs_diff(*b) <= 2, "{} {}", a, b);
        }
    }

    #[test]
    fn mirroring_twice_changes_nothing(image in image()) {
        prop_assert_eq!(flip_horizontal(&flip_horizontal(&image)), image);
    }

    #[test]
    fn a_square_has_the_side_asked_for(image in image(), sides in size(), filter in filter()) {
        let (resize, crop) = sides;
        let square = Preprocess { resize, filter, ..Preprocess::clip(crop) }.square(&image);
        prop_assert_eq!((square.width, square.height, square.pixels.len()), (crop, crop, crop * crop * 3));
    }

    #[test]
    fn an_rgb_image_is_converted_already(image in image(), side in 1usize..30) {
        let preprocess = Preprocess::clip(side);
        let native = preprocess.square_native(&image.clone().into(), PassOrder::Pillow13);
        prop_assert_eq!(native, preprocess.square(&image));
    }

    #[test]
    fn a_crop_of_the_whole_is_the_whole(image in image()) {
        prop_assert_eq!(center_crop(&image, image.width, image.height), image);
    }

    #[test]
    fn png_files_are_read_as_they_were_written(image in image()) {
        prop_assert_eq!(decode(&encode_png(&image).unwrap()).unwrap().image, image);
    }
}
