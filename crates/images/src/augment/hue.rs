//! The hue of 8-bit pixels, through PIL's mode `HSV` with its roundings, which a turn by nothing already shows.

/// The pixel with its hue turned by `turn` 256ths of a circle.
pub(super) fn turned(pixel: [u8; 3], turn: u8) -> [u8; 3] {
    let [hue, saturation, value] = to_hsv(pixel);
    to_rgb([hue.wrapping_add(turn), saturation, value])
}

/// Hue, saturation and value, each of 0 to 255.
fn to_hsv(pixel: [u8; 3]) -> [u8; 3] {
    let [red, green, blue] = pixel;
    let (most, least) = (red.max(green).max(blue), red.min(green).min(blue));
    if most == least {
        return [0, 0, most];
    }
    let range = f32::from(most - least);
    let [r, g, b] = pixel.map(|level| f32::from(most - level) / range);
    let sixths = if red == most {
        b - g
    } else if green == most {
        (2.0 + f64::from(r) - f64::from(b)) as f32
    } else {
        (4.0 + f64::from(g) - f64::from(r)) as f32
    };
    let hue = (f64::from(sixths) / 6.0 + 1.0) % 1.0;
    let saturation = range / f32::from(most);
    // What is cut here lies below 255 already.
    [(f64::from(hue as f32) * 255.0) as u8, (f64::from(saturation) * 255.0) as u8, most]
}

fn to_rgb([hue, saturation, value]: [u8; 3]) -> [u8; 3] {
    let position = f64::from(hue) * 6.0 / 255.0;
    let sixth = position.floor();
    let rest = (position - sixth) as f32;
    let saturation = (f64::from(saturation) / 255.0) as f32;
    let level = |less: f64| (f64::from(value) * (1.0 - less)).round() as u8;
    let low = level(f64::from(saturation));
    let falling = level(f64::from(saturation * rest));
    let rising = level(f64::from(saturation) * (1.0 - f64::from(rest)));
    match sixth as u8 % 6 {
        0 => [value, rising, low],
        1 => [falling, value, low],
        2 => [low, value, rising],
        3 => [low, falling, value],
        4 => [rising, low, value],
        _ => [value, low, falling],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pure_colours_turn_into_each_other() {
        // A third of the circle is 85 of 255 steps.
        assert_eq!(turned([255, 0, 0], 85), [0, 255, 0]);
        assert_eq!(turned([0, 255, 0], 85), [0, 0, 255]);
        assert_eq!(turned([120, 120, 120], 31), [120, 120, 120]);
    }

    #[test]
    fn saturation_and_value_stay() {
        for colour in [[10, 200, 90], [255, 254, 0], [3, 1, 2]] {
            for turn in [0, 1, 100, 255] {
                let before = to_hsv(colour);
                let [_, saturation, value] = to_hsv(turned(colour, turn));
                assert!(value == before[2] && saturation.abs_diff(before[1]) <= 255 / before[2].max(1) + 1);
            }
        }
    }
}
