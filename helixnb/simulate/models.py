"""What a filament is made of: atoms of one subunit, from a file, an array or a toy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from helixnb.errors import InputError
from helixnb.simulate.toy import toy_atoms

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from helixnb.simulate.lattice import Lattice


@dataclass(frozen=True)
class Subunit:
    """Atoms of one asymmetric unit, relative to the helix axis.

    Parameters
    ----------
    coordinates_A : (n, 3) float64 array
        Atom positions (x, y, z) in Angstrom; the helix axis is z through the origin.
    weights : (n,) float64 array
        Scattering weights, proportional to the atomic number.
    """

    coordinates_A: NDArray[np.float64]
    weights: NDArray[np.float64]

    @property
    def outer_radius_A(self) -> float:
        """Distance of the outermost atom from the helix axis."""
        return float(np.hypot(*self.coordinates_A[:, :2].T).max())


def load_subunit(
    model: str | Path | ArrayLike | None,
    lattice: Lattice,
    *,
    subunit_radius_A: float | None = None,
) -> Subunit:
    """Find the atoms of the asymmetric unit in whatever the user has.

    Parameters
    ----------
    model : path, (n, 3) array or None
        PDB or mmCIF file, atom positions in Angstrom (weight 6, carbon), or None for
        the toy subunit. Positions are used as given: the helix axis is z through
        the origin.
    lattice : Lattice
        Symmetry the toy subunit is fitted to.
    subunit_radius_A : float, optional
        Distance of the toy subunit's centre from the axis; found from the symmetry if
        not given, and ignored with a model.

    Returns
    -------
    Subunit
        Atoms without hydrogen and water.

    Raises
    ------
    InputError
        If the file cannot be read or holds no atoms, or the array has another shape.
    """
    if model is None:
        return Subunit(*toy_atoms(lattice, radius_A=subunit_radius_A))
    if isinstance(model, str | Path):
        return _read_structure(Path(model))
    coordinates = np.asarray(model, dtype=np.float64)
    if coordinates.ndim != 2 or coordinates.shape[1] != 3 or len(coordinates) == 0:
        raise InputError(
            "model as an array must hold atom positions with shape (n, 3), got shape "
            f"{coordinates.shape}."
        )
    if not np.isfinite(coordinates).all():
        raise InputError("model as an array must hold finite positions in Angstrom.")
    return Subunit(coordinates, np.full(len(coordinates), 6.0))


def _read_structure(path: Path) -> Subunit:
    """Atoms of the first model of a PDB or mmCIF file."""
    import gemmi  # heavy, and only needed for files

    if not path.is_file():
        raise InputError(f"model file {path} does not exist. Check the path.")
    try:
        structure = gemmi.read_structure(str(path))
    except (RuntimeError, ValueError) as error:
        raise InputError(
            f"model file {path} cannot be read: {error}. Give a PDB or mmCIF file."
        ) from error
    structure.remove_hydrogens()
    structure.remove_waters()
    atoms = [found.atom for found in structure[0].all()] if len(structure) else []
    if not atoms:
        raise InputError(
            f"model file {path} holds no atoms besides hydrogen and water. Is it a "
            "PDB or mmCIF file?"
        )
    return Subunit(
        np.array([atom.pos.tolist() for atom in atoms], dtype=np.float64),
        np.array([atom.element.atomic_number * atom.occ for atom in atoms]),
    )
