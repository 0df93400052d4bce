"""The microscope: contrast transfer function and noise of a micrograph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import scipy.fft

from helixnb.errors import InputError
from helixnb.simulate.rendering import frequency_grid

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Noise power over its white floor: 1 + excess / (1 + (k / corner)^2), the shape that
# ice and beam-induced background leave in real micrographs.
_NOISE_EXCESS, _NOISE_CORNER_PER_A = 3.0, 0.02


@dataclass(frozen=True)
class Microscope:
    """How micrographs are taken.

    Parameters
    ----------
    defocus_A : (float, float)
        Range that each micrograph's mean defocus is drawn from; underfocus positive.
    astigmatism_A : float
        Largest difference between the defoci U and V; drawn anew for each micrograph.
    voltage_kV, cs_mm, amplitude_contrast : float
        Acceleration voltage, spherical aberration, fraction of amplitude contrast.
    snr : float or None
        Variance of the signal (after the CTF, over whole boxes, mean of all boxes)
        over the variance of the noise. None leaves the noise away.
    b_factor_A2 : float
        Fall-off exp(-B k^2 / 4) of the signal's amplitude.

    Raises
    ------
    InputError
        If a value is out of range.
    """

    defocus_A: tuple[float, float] = (8000.0, 22000.0)
    astigmatism_A: float = 300.0
    voltage_kV: float = 300.0
    cs_mm: float = 2.7
    amplitude_contrast: float = 0.1
    snr: float | None = 0.05
    b_factor_A2: float = 80.0

    def __post_init__(self) -> None:
        low, high = self.defocus_A
        if not 0 < low <= high:
            raise InputError(
                "defocus_A must be a range (low, high) in Angstrom with 0 < low <= "
                f"high, got {self.defocus_A!r}. Underfocus is positive."
            )
        if self.snr is not None and not self.snr > 0:
            raise InputError(
                f"snr must be greater than 0, or None for no noise, got {self.snr!r}."
            )
        if not 0 <= self.amplitude_contrast <= 1:
            raise InputError(
                f"amplitude_contrast must be in 0-1, got {self.amplitude_contrast!r}."
            )
        if not self.voltage_kV > 0:
            raise InputError(f"voltage_kV must be > 0, got {self.voltage_kV!r}.")
        for name in ("astigmatism_A", "cs_mm", "b_factor_A2"):
            if not getattr(self, name) >= 0:
                raise InputError(f"{name} must be >= 0, got {getattr(self, name)!r}.")

    @property
    def wavelength_A(self) -> float:
        """Relativistic electron wavelength in Angstrom."""
        volts = self.voltage_kV * 1e3
        return float(12.2643 / np.sqrt(volts * (1 + 0.978466e-6 * volts)))


class Defocus(NamedTuple):
    """Astigmatic defocus of one micrograph, as in RELION's columns."""

    u_A: float
    v_A: float
    angle_deg: float


def draw_defocus(microscope: Microscope, rng: np.random.Generator) -> Defocus:
    """Defocus of the next micrograph."""
    mean = rng.uniform(*microscope.defocus_A)
    half = rng.uniform(0, microscope.astigmatism_A) / 2
    return Defocus(mean + half, mean - half, rng.uniform(0, 180))


def contrast_transfer(
    shape: tuple[int, int],
    pixel_size_A: float,
    defocus: Defocus,
    microscope: Microscope,
) -> NDArray[np.float64]:
    """CTF on the grid of a real FFT, positive at low frequency for underfocus.

    sin(pi lambda d(theta) k^2 - pi/2 Cs lambda^3 k^4 + asin w), with
    d(theta) = (U + V)/2 + (U - V)/2 cos 2(theta - angle) and theta from the x axis
    towards y (rows): RELION's convention.

    Parameters
    ----------
    shape : (int, int)
        Of the image (y, x).
    pixel_size_A : float
        Pixel size in Angstrom.
    defocus : Defocus
        Of this micrograph.
    microscope : Microscope
        Voltage, Cs and amplitude contrast.

    Returns
    -------
    (y, x // 2 + 1) float64 array
    """
    ky, kx = frequency_grid(shape, pixel_size_A)
    k2 = kx**2 + ky**2
    theta = np.arctan2(ky, kx) - np.deg2rad(defocus.angle_deg)
    mean, half = (defocus.u_A + defocus.v_A) / 2, (defocus.u_A - defocus.v_A) / 2
    wavelength = microscope.wavelength_A
    phase = np.pi * wavelength * (mean + half * np.cos(2 * theta)) * k2
    phase -= np.pi / 2 * microscope.cs_mm * 1e7 * wavelength**3 * k2**2
    return np.asarray(np.sin(phase + np.arcsin(microscope.amplitude_contrast)))


def coloured_noise(
    shape: tuple[int, int], pixel_size_A: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Noise of a micrograph: a white floor and an excess at low frequency.

    Parameters
    ----------
    shape : (int, int)
        Of the micrograph (y, x).
    pixel_size_A : float
        Pixel size in Angstrom.
    rng : numpy.random.Generator
        Source of the noise.

    Returns
    -------
    (y, x) float32 array
        Expected variance 1, mean 0.
    """
    ky = scipy.fft.fftfreq(shape[0], pixel_size_A)[:, None]
    kx = scipy.fft.fftfreq(shape[1], pixel_size_A)
    corner2 = _NOISE_CORNER_PER_A**2
    power = 1 + _NOISE_EXCESS / (1 + (kx**2 + ky**2) / corner2)
    amplitude = np.sqrt(power / power.mean())[:, : shape[1] // 2 + 1]
    white = scipy.fft.rfft2(rng.standard_normal(shape, dtype=np.float32))
    noise = scipy.fft.irfft2(white * amplitude.astype(np.float32), shape)
    return np.asarray(noise, dtype=np.float32)
