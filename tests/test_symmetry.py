"""The helical operator: ranges, derived numbers and RELION's rule for the copies."""

import dataclasses
import math

import numpy as np
import pytest

from helixnb.errors import InputError
from helixnb.symmetry import HelicalSymmetry, wrap_twist_deg

ACTIN = HelicalSymmetry(twist_deg=-166.65, rise_A=28.11)
TMV = HelicalSymmetry(twist_deg=22.03, rise_A=1.408)


def test_textbook_helices() -> None:
    # Tobacco mosaic virus: right-handed, 49 subunits in 3 turns, pitch 23 A.
    assert TMV.handedness == "right"
    assert TMV.subunits_per_turn == pytest.approx(49 / 3, rel=2e-3)
    assert TMV.pitch_A == pytest.approx(23.0, abs=0.05)
    # F-actin: the left-handed genetic helix of 13 subunits in 6 turns, pitch 59 A.
    assert ACTIN.handedness == "left"
    assert ACTIN.subunits_per_turn == pytest.approx(13 / 6, rel=5e-3)
    assert ACTIN.pitch_A == pytest.approx(59.0, abs=2.0)


def test_positive_twist_is_a_right_handed_screw() -> None:
    # (cos t, sin t, c t) with c > 0 is right-handed: its torsion is positive.
    k = np.arange(4)
    phi = np.deg2rad(TMV.twist_deg) * k
    points = np.stack([np.cos(phi), np.sin(phi), TMV.rise_A * k], axis=1)
    first, second, third = np.diff(points, axis=0)
    assert np.dot(np.cross(first, second), third) > 0


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        (193.35, -166.65),
        (-166.65, -166.65),
        (180.0, 180.0),
        (-180.0, 180.0),
        (540.0, 180.0),
        (-360.0, 0.0),
        (722.03, 2.03),
    ],
)
def test_twist_is_wrapped_into_its_range(given: float, stored: float) -> None:
    assert HelicalSymmetry(given, 10.0).twist_deg == pytest.approx(stored, abs=1e-9)


def test_wrapping_keeps_the_rotation_and_the_range(rng: np.random.Generator) -> None:
    for angle in rng.uniform(-2000, 2000, 200):
        wrapped = wrap_twist_deg(float(angle))
        assert -180 < wrapped <= 180
        turns = (wrapped - angle) / 360
        assert turns == pytest.approx(round(turns), abs=1e-9)
        assert wrap_twist_deg(wrapped) == wrapped


def test_twists_without_a_hand() -> None:
    straight = HelicalSymmetry(0.0, 4.75)
    assert straight.handedness == "none"
    assert math.isinf(straight.pitch_A)
    assert HelicalSymmetry(180.0, 2.4).handedness == "none"


@pytest.mark.parametrize(
    ("rise", "shown"),
    [(0.0, "got 0"), (-28.11, "got -28.11"), (math.nan, "nan"), ("wide", "'wide'")],
)
def test_bad_rise_is_refused_by_name_and_value(rise: float, shown: str) -> None:
    with pytest.raises(InputError, match=f"rise_A.*{shown}"):
        HelicalSymmetry(10.0, rise)


@pytest.mark.parametrize("twist", [math.nan, -math.inf, "left"])
def test_bad_twist_is_refused(twist: float) -> None:
    with pytest.raises(InputError, match="twist_deg"):
        HelicalSymmetry(twist, 10.0)


@pytest.mark.parametrize(
    ("name", "cyclic", "dihedral"),
    [("C1", 1, False), ("c3", 3, False), ("D1", 1, True), (" d12 ", 12, True)],
)
def test_point_groups(name: str, cyclic: int, dihedral: bool) -> None:
    symmetry = HelicalSymmetry(10.0, 5.0, name)
    assert symmetry.cyclic == cyclic
    assert symmetry.dihedral is dihedral
    assert symmetry.point_group == name.strip().upper()


@pytest.mark.parametrize("name", ["", "C", "C0", "C-2", "D2.5", "I", "T", "O", "3"])
def test_point_groups_no_helix_can_have(name: str) -> None:
    with pytest.raises(InputError, match="Cn or Dn"):
        HelicalSymmetry(10.0, 5.0, name)


@pytest.mark.parametrize(
    ("spacing", "symmetry", "order"),
    [
        (57.0, ACTIN, 2),  # two subunits of 28.11 A fit between boxes
        (56.4, TMV, 40),
        (2 * 28.11, ACTIN, 2),  # exactly two, in spite of rounding
        (28.10, ACTIN, 1),
        (5.0, ACTIN, 1),  # boxes closer than a subunit still count once
    ],
)
def test_order_from_spacing(
    spacing: float, symmetry: HelicalSymmetry, order: int
) -> None:
    assert symmetry.order_from_spacing(spacing) == order


@pytest.mark.parametrize("rise", [1.408, 4.75, 9.62, 28.11])
@pytest.mark.parametrize("n", [1, 3, 7, 40])
def test_whole_numbers_of_rises_survive_float32(rise: float, n: int) -> None:
    start = np.float32(3000.0)
    end = np.float32(3000.0 + n * rise)
    assert HelicalSymmetry(10.0, rise).order_from_spacing(float(end - start)) == n


@pytest.mark.parametrize("spacing", [0.0, -3.0, math.nan])
def test_bad_spacing_is_refused(spacing: float) -> None:
    with pytest.raises(InputError, match="inter_box_A"):
        ACTIN.order_from_spacing(spacing)


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        (1, [0]),
        (2, [-1, 0]),
        (3, [-1, 0, 1]),
        (4, [-2, -1, 0, 1]),
        (5, [-2, -1, 0, 1, 2]),
    ],
)
def test_copies_follow_relion(order: int, expected: list[int]) -> None:
    assert ACTIN.copies(order).tolist() == expected


@pytest.mark.parametrize("order", [0, -1, 2.5])
def test_bad_order_is_refused(order: int) -> None:
    with pytest.raises(InputError, match="order"):
        ACTIN.copies(order)


def test_it_is_a_value() -> None:
    assert HelicalSymmetry(193.35, 28.11).rise_A == ACTIN.rise_A
    assert dataclasses.replace(ACTIN, rise_A=27.5).twist_deg == ACTIN.twist_deg
    with pytest.raises(dataclasses.FrozenInstanceError):
        ACTIN.rise_A = 1.0  # type: ignore[misc]
    assert len({ACTIN, HelicalSymmetry(-166.65, 28.11, "c1")}) == 1
