//! The silhouettes of the 28 classes, as unions and differences of ellipses, boxes and triangles.
//!
//! Object coordinates: `u` to the right, `v` down, everything within `[-1, 1]`.

use std::f64::consts::PI;

use super::words::Class;

/// A point in object coordinates.
#[derive(Debug, Clone, Copy)]
struct Point {
    u: f64,
    v: f64,
}

impl Point {
    fn in_ellipse(self, centre: (f64, f64), radii: (f64, f64)) -> bool {
        let (a, b) = ((self.u - centre.0) / radii.0, (self.v - centre.1) / radii.1);
        a * a + b * b <= 1.0
    }

    fn in_disc(self, centre: (f64, f64), radius: f64) -> bool {
        self.in_ellipse(centre, (radius, radius))
    }

    fn in_box(self, corner: (f64, f64), opposite: (f64, f64)) -> bool {
        self.u >= corner.0 && self.u <= opposite.0 && self.v >= corner.1 && self.v <= opposite.1
    }

    fn in_triangle(self, a: (f64, f64), b: (f64, f64), c: (f64, f64)) -> bool {
        let side = |p: (f64, f64), q: (f64, f64)| (q.0 - p.0) * (self.v - p.1) - (q.1 - p.1) * (self.u - p.0);
        let sides = [side(a, b), side(b, c), side(c, a)];
        sides.iter().all(|&s| s >= 0.0) || sides.iter().all(|&s| s <= 0.0)
    }

    fn radius(self) -> f64 {
        libm::sqrt(self.u * self.u + self.v * self.v)
    }

    fn in_star(self) -> bool {
        let (fifth, half) = (2.0 * PI / 5.0, PI / 5.0);
        let turn = libm::atan2(self.u, -self.v) / fifth;
        let from_valley = ((turn - turn.floor()) * fifth - half).abs() / half;
        self.radius() <= 0.95 * (0.42 + 0.58 * libm::pow(from_valley, 1.3))
    }

    fn in_heart(self) -> bool {
        let (x, y) = (self.u * 1.15, -(self.v - 0.1) * 1.2);
        let body = x * x + y * y - 0.6;
        body * body * body - 1.4 * x * x * y * y * y <= 0.0
    }
}

/// Whether the silhouette of `class` covers the point `(u, v)` of object coordinates.
pub(super) fn covers(class: Class, u: f64, v: f64) -> bool {
    // Every silhouette lies within the unit square, which spares the background most of the tests.
    if u.abs() > 1.0 || v.abs() > 1.0 {
        return false;
    }
    let p = Point { u, v };
    let origin = (0.0, 0.0);
    match class {
        Class::Ball => p.in_disc(origin, 0.85),
        Class::Box => p.in_box((-0.75, -0.75), (0.75, 0.75)),
        Class::Ring => p.in_disc(origin, 0.9) && !p.in_disc(origin, 0.5),
        Class::Star => p.in_star(),
        Class::Heart => p.in_heart(),
        Class::Moon => p.in_disc(origin, 0.9) && !p.in_disc((0.42, -0.1), 0.72),
        Class::House => {
            let walls = p.in_box((-0.65, -0.1), (0.65, 0.85)) && !p.in_box((-0.15, 0.35), (0.15, 0.85));
            walls || p.in_triangle((-0.9, -0.1), (0.9, -0.1), (0.0, -0.9))
        }
        Class::Tree => {
            p.in_triangle((-0.6, -0.05), (0.6, -0.05), (0.0, -0.95))
                || p.in_triangle((-0.75, 0.5), (0.75, 0.5), (0.0, -0.5))
                || p.in_box((-0.14, 0.5), (0.14, 0.92))
        }
        Class::Mushroom => {
            (p.in_ellipse((0.0, -0.1), (0.85, 0.72)) && v <= 0.0) || p.in_box((-0.24, -0.05), (0.24, 0.85))
        }
        Class::Fish => {
            p.in_ellipse((-0.2, 0.0), (0.65, 0.42)) || p.in_triangle((0.3, 0.0), (0.92, -0.5), (0.92, 0.5))
        }
        Class::Bird => {
            p.in_ellipse((0.0, 0.15), (0.5, 0.3))
                || p.in_disc((-0.5, -0.15), 0.25)
                || p.in_triangle((-0.7, -0.2), (-0.7, 0.0), (-0.98, -0.08))
                || p.in_triangle((-0.2, 0.05), (0.35, 0.05), (0.4, -0.8))
                || p.in_triangle((0.3, 0.15), (0.95, -0.02), (0.9, 0.35))
        }
        Class::Cat => {
            p.in_ellipse((0.0, 0.2), (0.72, 0.62))
                || p.in_triangle((-0.7, 0.1), (-0.15, -0.3), (-0.62, -0.88))
                || p.in_triangle((0.7, 0.1), (0.15, -0.3), (0.62, -0.88))
        }
        Class::Rabbit => {
            p.in_ellipse((0.0, 0.35), (0.6, 0.52))
                || p.in_ellipse((-0.28, -0.45), (0.16, 0.5))
                || p.in_ellipse((0.28, -0.45), (0.16, 0.5))
        }
        Class::Car => {
            p.in_box((-0.92, -0.05), (0.92, 0.38))
                || p.in_box((-0.5, -0.48), (0.45, -0.05))
                || p.in_disc((-0.5, 0.42), 0.24)
                || p.in_disc((0.5, 0.42), 0.24)
        }
        Class::Boat => {
            let hull = p.in_box((-0.9, 0.3), (0.9, 0.75)) && u.abs() <= 0.95 - (v - 0.3) * 0.8;
            hull || p.in_triangle((0.05, 0.2), (0.05, -0.9), (0.75, 0.2))
                || p.in_triangle((-0.05, 0.2), (-0.05, -0.6), (-0.6, 0.2))
        }
        Class::Plane => {
            p.in_ellipse(origin, (0.95, 0.16))
                || p.in_triangle((-0.3, 0.0), (0.25, 0.0), (0.45, -0.85))
                || p.in_triangle((-0.3, 0.0), (0.25, 0.0), (0.45, 0.85))
                || p.in_triangle((0.65, 0.0), (0.85, 0.0), (0.95, -0.38))
                || p.in_triangle((0.65, 0.0), (0.85, 0.0), (0.95, 0.38))
        }
        Class::Key => {
            (p.in_disc((-0.55, 0.0), 0.4) && !p.in_disc((-0.55, 0.0), 0.18))
                || p.in_box((-0.2, -0.1), (0.92, 0.12))
                || p.in_box((0.5, 0.1), (0.62, 0.4))
                || p.in_box((0.76, 0.1), (0.9, 0.4))
        }
        Class::Umbrella => {
            let hook = p.in_ellipse((0.2, 0.75), (0.26, 0.22)) && !p.in_ellipse((0.2, 0.75), (0.13, 0.1));
            (p.in_ellipse(origin, (0.92, 0.8)) && v <= 0.0)
                || p.in_box((-0.06, 0.0), (0.08, 0.8))
                || (hook && v >= 0.75)
        }
        Class::Flower => p.radius() <= 0.9 * (0.62 + 0.38 * libm::cos(6.0 * libm::atan2(u, v))),
        Class::Butterfly => {
            p.in_disc((-0.45, -0.35), 0.42)
                || p.in_disc((0.45, -0.35), 0.42)
                || p.in_ellipse((-0.35, 0.4), (0.3, 0.34))
                || p.in_ellipse((0.35, 0.4), (0.3, 0.34))
                || p.in_ellipse(origin, (0.12, 0.7))
        }
        Class::Bottle => {
            p.in_box((-0.36, -0.2), (0.36, 0.92))
                || p.in_box((-0.14, -0.92), (0.14, -0.2))
                || p.in_ellipse((0.0, -0.2), (0.36, 0.25))
        }
        Class::Hammer => p.in_box((-0.12, -0.5), (0.12, 0.92)) || p.in_box((-0.65, -0.85), (0.6, -0.42)),
        Class::Chair => {
            p.in_box((-0.55, -0.9), (-0.33, 0.9))
                || p.in_box((-0.55, 0.0), (0.6, 0.25))
                || p.in_box((0.4, 0.0), (0.6, 0.9))
        }
        Class::Snake => (v - 0.42 * libm::sin(u * 5.0)).abs() <= 0.2 && u.abs() <= 0.92,
        Class::Rocket => {
            p.in_ellipse((0.0, -0.1), (0.3, 0.85))
                || p.in_triangle((-0.15, 0.2), (-0.65, 0.85), (-0.1, 0.65))
                || p.in_triangle((0.15, 0.2), (0.65, 0.85), (0.1, 0.65))
        }
        Class::Lamp => {
            let shade = (-0.9..=-0.1).contains(&v) && u.abs() <= 0.3 + 0.4 * (v + 0.9);
            shade || p.in_box((-0.07, -0.1), (0.07, 0.75)) || p.in_box((-0.4, 0.72), (0.4, 0.9))
        }
        Class::Cup => {
            let handle = p.in_disc((0.42, 0.05), 0.42) && !p.in_disc((0.42, 0.05), 0.22);
            p.in_box((-0.65, -0.55), (0.4, 0.7)) || (handle && u >= 0.3)
        }
        Class::Cross => p.in_box((-0.28, -0.85), (0.28, 0.85)) || p.in_box((-0.85, -0.28), (0.85, 0.28)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The silhouette on a 40x40 grid over `[-1, 1]`.
    fn silhouette(class: Class) -> Vec<bool> {
        let centre = |index: usize| (index as f64 + 0.5) / 20.0 - 1.0;
        (0..1600).map(|index| covers(class, centre(index % 40), centre(index / 40))).collect()
    }

    #[test]
    fn silhouettes_are_neither_empty_nor_alike() {
        let silhouettes = Class::ALL.map(silhouette);
        for (index, one) in silhouettes.iter().enumerate() {
            let area = one.iter().filter(|&&covered| covered).count();
            assert!((150..1300).contains(&area), "{}: {area}", Class::NAMES[index]);
            for (other_index, other) in silhouettes.iter().enumerate().skip(index + 1) {
                let different = one.iter().zip(other).filter(|(a, b)| a != b).count();
                assert!(different > 100, "{} and {}", Class::NAMES[index], Class::NAMES[other_index]);
            }
        }
    }

    #[test]
    fn differences_leave_their_holes() {
        assert!(!covers(Class::Ring, 0.0, 0.0) && covers(Class::Ring, 0.7, 0.0));
        assert!(!covers(Class::House, 0.0, 0.6) && covers(Class::House, 0.4, 0.6));
        assert!(!covers(Class::Cup, 0.55, 0.05) && covers(Class::Cup, 0.75, 0.05));
        assert!(!covers(Class::Umbrella, 0.2, 0.8) && covers(Class::Umbrella, 0.2, 0.95));
    }

    #[test]
    fn a_star_has_a_tip_at_the_top() {
        assert!(covers(Class::Star, 0.0, -0.9));
        assert!(!covers(Class::Star, 0.0, 0.6) && covers(Class::Star, 0.0, 0.35));
    }
}
