"""Contrast transfer function in RELION's convention, for filament-frame images.

CTF(s) = sin(pi lambda defocus(angle) s^2 - pi/2 Cs lambda^3 s^4 + phase), with
phase = asin(amplitude contrast) + phase shift, which is positive at low frequency
for underfocus and white protein (RELION `ctf.h`, Rohou and Grigorieff 2015,
doi:10.1016/j.jsb.2015.08.008, eq. 2-4).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from helixnb.backend.arrays import array_module
from helixnb.particles import ParticleSet


def electron_wavelength_A(voltage_kV: NDArray[np.float64]) -> NDArray[np.float64]:
    """Relativistic electron wavelength, Angstrom.

    Parameters
    ----------
    voltage_kV : ndarray of float64
        Acceleration voltage, kV.

    Returns
    -------
    ndarray of float64, same shape
    """
    volt = np.asarray(voltage_kV, np.float64) * 1e3
    return 12.2643247 / np.sqrt(volt * (1 + 0.978466e-6 * volt))


def coefficients(particles: ParticleSet) -> NDArray[np.float64]:
    """CTF of every particle as the six numbers that the frame kernel needs.

    Parameters
    ----------
    particles : ParticleSet
        Carries the optics and defocus of each image.

    Returns
    -------
    ndarray of float64, shape (n, 6)
        Mean defocus, half the astigmatism times cosine and sine of twice its azimuth
        (A), pi lambda (A), pi/2 Cs lambda^3 (A^4) and the constant phase (rad).
    """
    wavelength = electron_wavelength_A(particles.voltage_kV)
    cs_A = particles.cs_mm * 1e7
    half_A = (particles.defocus_u_A - particles.defocus_v_A) / 2
    twice = 2 * np.deg2rad(particles.defocus_angle_deg)
    return np.stack(
        [
            (particles.defocus_u_A + particles.defocus_v_A) / 2,
            half_A * np.cos(twice),
            half_A * np.sin(twice),
            np.pi * wavelength,
            np.pi / 2 * cs_A * wavelength**3,
            np.arcsin(particles.amplitude_contrast)
            + np.deg2rad(particles.phase_shift_deg),
        ],
        axis=1,
    )


def evaluate(
    coefficient: NDArray[np.float64],
    kx_per_A: NDArray[np.float64],
    ky_per_A: NDArray[np.float64],
) -> NDArray[np.float64]:
    """CTF at given frequencies: the plain form of the formula.

    Parameters
    ----------
    coefficient : ndarray of float64, shape (6, ...)
        One row of `coefficients`; or all of them as columns, with axes of length 1 for
        the frequencies.
    kx_per_A, ky_per_A : ndarray of float64
        Frequencies in the image's own axes, 1/A.

    Returns
    -------
    ndarray of float64, broadcast shape of coefficients and frequencies
    """
    mean, along, aslant, k2, k4, constant = coefficient
    x2, y2 = kx_per_A**2, ky_per_A**2
    s2 = x2 + y2
    # Defocus times s^2; it varies with direction as the cosine of twice an angle.
    bend = mean * s2 + along * (x2 - y2) + 2 * aslant * kx_per_A * ky_per_A
    value: NDArray[np.float64] = array_module(bend).sin(
        k2 * bend - k4 * s2**2 + constant
    )
    return value
