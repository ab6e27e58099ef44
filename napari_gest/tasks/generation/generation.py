"""The state of a run of generation (Sec. 4.4, 5.1)."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from torch import Tensor

import napari_gest
from napari_gest.errors import InputError
from napari_gest.memory import give_back
from napari_gest.model.decoder import Context
from napari_gest.model.devices import AtOnce
from napari_gest.model.field import FEWEST, SectionField
from napari_gest.model.sampling import read_out
from napari_gest.tasks.finite import require_finite
from napari_gest.tasks.generation.cell_types import NamedTypes, name_in_proportion
from napari_gest.tasks.generation.emission import N_CANDIDATES, Donors, normalized
from napari_gest.tasks.generation.generated import Generated, Painted
from napari_gest.tasks.progress import Clock, Progress
from napari_gest.tissue.expression import log_normalize
from napari_gest.tissue.geometry import Geometry
from napari_gest.tissue.pool import Pool
from napari_gest.tissue.vicinity import vicinity
from napari_gest.tissue.window import compact_groups, reach, symmetries

if TYPE_CHECKING:
    from napari_gest.tasks.generation.generate import GenerateRequest

# A window's contexts, each with the turns of the window that it holds.
Turns = list[tuple[slice, Context]]

# Cells that share one encoded context, as in training.
WINDOW_TARGETS = 192
# Donors at most, the cells nearest to the region.
MOST_DONORS = 20_000
# The field learns from at most this many known cells, drawn within its reach of the cells to
# generate; more cells cost time and change little.
_FIELD_CELLS, _FIELD_REACH = 8000, 60.0  # cells, distances between neighbouring cells


class Generation:
    """The state of one run, for as long as it runs."""

    def __init__(self, request: GenerateRequest) -> None:
        section, model = request.section, request.model.on(request.device)
        self.request, self.model = request, model
        self.model_digest = model.digest  # once, in the worker: it takes 0.1 s
        # In the section's order, so that draws depend on the cells and not on the order of rows.
        self.index = section.where(request.unseen)
        self.coords = np.concatenate([section.coords_um[self.index], request._new])
        # Index of the cells to generate among all positions: seen, unseen and new.
        n, n_new = section.n_obs, len(request._new)
        self.position_of = np.concatenate([self.index, np.arange(n, n + n_new)])
        self.geometry = section.geometry
        if n_new:
            self.geometry = Geometry(np.concatenate([section.coords_um, request._new]))
        # The cells to generate by row, new ones last, and the index of each among those.
        self.by_row = np.argsort(self.position_of)
        self.place_by_row = np.argsort(self.by_row)
        self.measured = section.measured(model.genes)
        self.gives = request.mode == "sample" or request.types is not None  # needs donors
        self._is_known = ~request.unseen
        self.surround()
        self.depth = self.tree.query(self.coords)[0]
        n, k = len(self.coords), model.tokenizer.n_meta_cells
        self.mixture = torch.zeros(n, k)
        self.painted = np.zeros(n, bool)
        self.mean_of = np.empty((n, len(model.genes)), np.float32)
        self.sd_of = np.empty((n, len(model.genes)), np.float32)
        self.entropy = np.empty(n, np.float32)
        self.meta_cell = np.empty(n, np.int32)
        # Of the known cells used so far, and of the generated ones.
        self.known_residual: dict[int, NDArray[np.float32]] = {}
        self.residual = np.zeros((n, len(model.genes)), np.float32)
        self.generated = np.zeros(n, bool)
        self.temperature = request.temperature
        self.emission = request.emission or model.emission
        self.field: NDArray[np.float32] | None = None  # once it is fitted
        self.type_share = None
        if request.types is not None:
            self.type_share = np.zeros((n, len(request.types.names)), np.float32)
        self.turns = torch.from_numpy(symmetries()[: request.passes])
        self.at_once = AtOnce(request.passes)
        self.mean = torch.from_numpy(model.tokenizer.c_expr)
        self.variance = torch.from_numpy(model.tokenizer.v_expr)

    def surround(self) -> None:
        """Read those of the known cells that can have a say; they are the content.

        They are all that lie in the reach of the field, of a window and, where cells are given
        by them, of the donors. What is farther away changes nothing, so a run costs the same in a
        section of any size.
        """
        section, most = self.request.section, self.most_donors if self.gives else 0
        everyone, field = self.all_known, _FIELD_REACH * self.geometry.spacing_um
        config = self.model.config
        wanted = max(most, reach(config.window_cells, config.pooled_context), FEWEST)
        while True:
            near = vicinity(section.coords_um[everyone], self.coords, wanted, field)
            self.known = everyone[near]
            self._read = np.sort(self.known)
            self.expression = section.expression_of(self._read, self.model.genes)
            place = np.searchsorted(self._read, self.known)
            self.filled = np.diff(self.expression.indptr)[place] > 0
            if self.filled.sum() >= most or len(near) == len(everyone):
                break
            wanted *= 2
        self.tree = cKDTree(section.coords_um[self.known])
        self.token = np.full(len(near), -1, np.int64)
        give_back()

    @property
    def all_known(self) -> NDArray[np.int64]:
        """(n,) index of all cells of the section that are not to be generated, nor forgotten."""
        return self.request.section.where(self._is_known)

    @property
    def most_donors(self) -> int:
        """Cells that may give their expression at most."""
        return max(MOST_DONORS, 2 * len(self.coords))

    @cached_property
    def table(self) -> Tensor:
        return self.model.network.table()

    @cached_property
    def donor_places(self) -> NDArray[np.int64]:
        """(n,) index of the donors among the known cells.

        They are the ``MOST_DONORS`` nearest to the region at most: more cost time, and far cells
        resemble the region less.
        """
        filled, most = np.flatnonzero(self.filled), self.most_donors
        if not len(filled):
            raise InputError(
                "No known cell has expression on the model's genes, so there is no donor.",
                "Use a section that was measured around the region.",
            )
        if len(filled) > most:
            near = np.argsort(self.distance_to_region()[filled], kind="stable")[:most]
            filled = np.sort(filled[near])
        return filled

    @property
    def donor_cells(self) -> NDArray[np.int64]:
        """(n,) index of the donors in the section."""
        return self.known[self.donor_places]

    @cached_property
    def donors(self) -> Donors:
        places = self.donor_places
        self.tokenize(places)
        return Donors(
            self.values(self.known[places]),
            self.token[places],
            self.tree.data[places],
            self.geometry.spacing_um,
            self.model.tokenizer.frequency,
            self.measured,
            self.emission,
        )

    def type_probability(self, weights: NDArray[np.float64]) -> NDArray[np.float32]:
        """Return (q, C) the probability of each type name, given weights (q, n) of donors."""
        assert self.request.types is not None
        return self.request.types.probability(weights, self.donor_cells, self._is_known)

    def type_codes(self, probability: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return (n,) the name of each cell, an index into the C names."""
        return name_in_proportion(probability, self.coords)

    def named(self, made: Generated) -> Generated:
        """Return a finished result with the types of its cells, if they were requested."""
        types, share = self.request.types, self.type_share
        if types is None or share is None:
            return made
        code = self.type_codes(share)
        order = self.by_row
        return replace(made, types=NamedTypes(types.key, types.names, share[order], code[order]))

    def distance_to_region(self) -> NDArray[np.float64]:
        """Return (n_known,) um from each known cell to the nearest cell to generate."""
        return np.asarray(cKDTree(self.coords).query(self.tree.data)[0])

    def fit_field(self) -> Generator[Progress, None, NDArray[np.float32] | None]:
        """Return (n, G) the prediction of the section's own field, model space, if requested."""
        if self.request.mode == "pick" or not self.request.field or len(self.known) < FEWEST:
            return None
        rng = np.random.default_rng(self.request.seed)
        far = self.distance_to_region()
        near = np.flatnonzero(far <= max(_FIELD_REACH * self.geometry.spacing_um, far.min() * 2))
        if len(near) < FEWEST:
            near = np.argsort(far, kind="stable")[:FEWEST]
        if len(near) > _FIELD_CELLS:
            near = np.sort(rng.choice(near, _FIELD_CELLS, replace=False))
        cells = self.known[near]
        give_back()  # what the decoder is done with
        field = SectionField(
            self.tree.data[near],
            self.geometry(cells),
            self.values(cells),
            self.geometry.spacing_um,
            self.request.seed,
        )
        give_back()
        clock = Clock("Learning the section", 100)
        for share in field.fit():
            yield clock.tick(round(100 * share))
        made = np.maximum(field.predict(self.coords, self.geometry(self.position_of)), 0)
        require_finite("The section's field", expression=made)
        return made

    def steps(self) -> Generator[Progress, None, Generated]:
        # The decoder's cells are shown while the field, which takes longer, is fitted.
        yield from self.fill()
        self.field = yield from self.fit_field()
        made = self.so_far()
        if self.field is not None:
            field = self.field[self.by_row]
            share = np.float32(self.request.field) * self.measured  # others have no field
            made = replace(
                made,
                expression=made.expression + share * (field - made.expression),
                settings=made.settings | {"field": self.request.field},
            )
        if self.type_share is not None:
            yield Progress("Naming cells", 0, 1)
            self.read_types(made.expression[self.place_by_row])
        return self.named(made)

    def with_candidates(self, made: Generated) -> Generator[Progress, None, Generated]:
        """Return a finished result of means with cells that could have given each of its cells.

        Names of any column can then be told of them, as of drawn ones. Without donors there are
        none.
        """
        if not self.gives:
            self.gives = True
            self.surround()
        try:
            donors = self.donors
        except InputError:
            return made
        expected = made.expression[self.place_by_row]
        found = np.full((len(expected), N_CANDIDATES), -1, np.int64)
        clock = Clock("Naming cells", len(expected))
        for start in range(0, len(expected), WINDOW_TARGETS):
            part = slice(start, start + WINDOW_TARGETS)
            given = self.mixture[part].numpy(), expected[part], self.coords[part]
            weights = normalized(donors.log_weights(*given))
            found[part] = donors.quantiles(weights, N_CANDIDATES)
            yield clock.tick(min(start + WINDOW_TARGETS, len(expected)))
        return replace(made, candidates=self.donor_cells[found[self.by_row]])

    def read_types(self, expected: NDArray[np.float32]) -> None:
        """Store the type probabilities of all cells, given their expected expression (n, G)."""
        assert self.type_share is not None
        probability = self.mixture.numpy()
        for start in range(0, len(expected), WINDOW_TARGETS):
            part = slice(start, start + WINDOW_TARGETS)
            weights = normalized(
                self.donors.log_weights(probability[part], expected[part], self.coords[part])
            )
            self.type_share[part] = self.type_probability(weights)

    def so_far(self) -> Generated:
        """Return the cells painted so far, by the decoder alone; the result of a cancelled run."""
        section, done = self.request.section, self.by_row[self.painted[self.by_row]]
        rows = np.concatenate([section.rows[self.index], np.full(len(self.request._new), -1)])
        settings = {
            "model": self.model.name,
            "model_digest": self.model_digest,
            "version": napari_gest.__version__,
            "seed": self.request.seed,
            "mode": self.request.mode,
            "target_sum": self.model.target_sum,
            "generated_from": self.request.section.generated_from,
            "field": 0.0,
        }
        return Generated(
            section,
            rows[done],
            self.index[done[done < len(self.index)]],
            self.coords[done],
            self.mean_of[done],
            self.sd_of[done],
            self.entropy[done],
            self.meta_cell[done],
            self.depth[done].astype(np.float32),
            self.model.genes,
            settings,
        )

    @torch.inference_mode()
    def fill(self) -> Generator[Progress, None, None]:
        """Generate the cells by the decoder alone."""
        clock, done = Clock("Generating cells", len(self.coords)), 0
        windows = rim_first(self.coords, self.depth, WINDOW_TARGETS)
        together = max(1, self.request.frontier // WINDOW_TARGETS)
        for start in range(0, len(windows), together):
            joining = windows[start : start + together]
            for window in joining:
                for cells in self.frontiers(window):
                    probability, residual = self.predict()
                    # Before cells are drawn by them, and before a caller paints a cell.
                    require_finite("The generated cells", probability=probability)
                    painted = self.paint(cells, probability, residual)
                    require_finite(
                        "The generated cells", expression=painted.expression, sd=painted.sd
                    )
                    self.mean_of[cells], self.sd_of[cells] = painted.expression, painted.sd
                    self.entropy[cells], self.meta_cell[cells] = painted.entropy, painted.meta_cell
                    self.painted[cells] = True
                    done += len(cells)
                    yield clock.tick(done, painted)
                    if news := self.at_once.news():
                        yield Progress(news, done, len(self.coords))
            self.generated[np.concatenate(joining)] = True

    def paint(
        self, cells: NDArray[np.int64], probability: Tensor, residual: NDArray[np.float32] | None
    ) -> Painted:
        """Return the cells of a frontier, and add them to the content.

        Parameters
        ----------
        cells
            (f,) index into the cells of the run.
        probability, residual
            Results of ``predict`` for them.

        """
        weighted = self.request.mode == "weighted"
        likeliest = probability.argmax(-1)
        out = read_out(probability, likeliest, self.request.mode, self.mean, self.variance)
        made = out.expression.numpy()
        if residual is not None:
            self.residual[cells] = residual
            made = np.maximum(made + residual, 0)
        # Weighted cells enter the content with their predicted uncertainty.
        self.mixture[cells] = (
            probability if weighted else F.one_hot(likeliest, len(self.mean)).float()
        )
        return Painted(
            self.place_by_row[cells],
            made,
            out.sd.numpy(),
            out.entropy.numpy(),
            likeliest.numpy().astype(np.int32),
        )

    def forget(self, cells: NDArray[np.int64]) -> None:
        """Remove known cells of the section from the content."""
        if len(cells):
            self._is_known[cells] = False
            self.surround()

    def frontiers(self, window: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
        """Yield the window's cells frontier by frontier, while the content grows with each."""
        centre = self.coords[window].mean(0)
        near, mixture, mass, residual, shift, geometry = self.content(centre)
        context = self.encode(near, mixture, centre, None, mass, shift, geometry)
        step = min(self.request.frontier, WINDOW_TARGETS)
        for start in range(0, len(window), step):
            cells = window[start : start + step]
            geometry = torch.from_numpy(self.geometry(self.position_of[cells]))
            self.asked = (context, self.place(self.coords[cells], centre), residual, geometry)
            yield cells
            if start + step < len(window):
                context = self.encode(
                    self.coords[cells], self.mixture[cells], centre, context, geometry=geometry
                )
                residual = np.concatenate([residual, self.residual[cells]])

    def content(
        self, centre: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], Tensor, Tensor, NDArray[np.float32], Tensor | None, Tensor]:
        """Return positions, meta cells, masses, residuals, shifts and geometry of L items.

        They are known or generated cells; near ones are single, the others pooled, far ones first.
        """
        n = self.model.config.window_cells
        n_near = reach(n, self.model.config.pooled_context)
        made = np.flatnonzero(self.generated)
        distance, near = self.tree.query(centre, k=[*range(1, min(n_near, self.tree.n) + 1)])
        distance = np.concatenate([distance, np.linalg.norm(self.coords[made] - centre, axis=1)])
        chosen = np.argsort(distance, kind="stable")[:n_near]
        measured = chosen < len(near)
        old, new = near[chosen[measured]], made[chosen[~measured] - len(near)]
        self.tokenize(old)

        def both(of_old: NDArray, of_new: NDArray) -> NDArray:
            values = np.empty((len(chosen), *of_old.shape[1:]), of_old.dtype)
            values[measured], values[~measured] = of_old, of_new
            return values

        coords = both(self.tree.data[old], self.coords[new])
        pool = Pool.around(coords - centre, n)
        tokens = np.eye(len(self.mean), dtype=np.float32)[self.token[old]]
        mixture = pool.mean(both(tokens, self.mixture[new].numpy()))
        # Deep in a large hole all of the nearest cells may be generated ones.
        known_residual = np.empty((len(old), self.residual.shape[1]), np.float32)
        for place, i in enumerate(old.tolist()):
            known_residual[place] = self.known_residual[i]
        residual = pool.mean(both(known_residual, self.residual[new]))
        geometry = pool.mean(self.geometry(both(self.known[old], self.position_of[new])))
        shift = self.shift(self.known[old])
        if shift is not None:
            unmoved = np.zeros((len(new), shift.shape[1]), np.float32)
            shift = torch.from_numpy(pool.mean(both(shift.numpy(), unmoved)))
        return (
            centre + pool.mean(coords - centre),
            torch.from_numpy(mixture),
            torch.from_numpy(pool.mass),
            residual,
            shift,
            torch.from_numpy(geometry),
        )

    def tokenize(self, near: NDArray[np.int64]) -> None:
        """Compute the meta cells of known cells that are used for the first time."""
        new = near[self.token[near] < 0]
        if len(new):
            tokenizer = self.model.tokenizer
            values = self.values(self.known[new])
            self.token[new] = tokenizer.tokens(values, self.measured)
            residual = values - tokenizer.c_expr[self.token[new]]
            residual[:, ~self.measured] = 0
            self.known_residual.update(zip(new.tolist(), residual, strict=True))

    def values(self, cells: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return (n, G) expression of known cells of the section, model space."""
        place = np.searchsorted(self._read, cells)
        return log_normalize(self.expression[place], self.model.target_sum)

    def shift(self, cells: NDArray[np.int64]) -> Tensor | None:
        """Return (n, D) to add to the embeddings of known cells' meta cells; None for zero."""
        return None

    def place(self, coords: NDArray[np.float64], centre: NDArray[np.float64]) -> Tensor:
        """Return (passes, n, 2) positions in half windows, rotated and reflected."""
        return self.model.positions(coords, centre) @ self.turns

    def encode(
        self,
        coords: NDArray[np.float64],
        mixture: Tensor,
        centre: NDArray[np.float64],
        before: Turns | None,
        mass: Tensor | None = None,
        shift: Tensor | None = None,
        geometry: Tensor | None = None,
    ) -> Turns:
        xy, device = self.place(coords, centre).to(self.model.device), self.model.device
        mixture = mixture.to(device)
        mass, shift, geometry = (x if x is None else x.to(device) for x in (mass, shift, geometry))

        def some(part: slice) -> tuple[slice, Context]:
            n = part.stop - part.start
            return part, self.model.network.encode(
                self.table,
                mixture.expand(n, -1, -1),
                xy[part],
                None if before is None else _of_turns(before, part),
                mass if mass is None else mass.expand(n, -1),
                shift,
                geometry,
            )

        return self.at_once.each(len(xy), some)

    def predict(self) -> tuple[Tensor, NDArray[np.float32] | None]:
        """Return (n, K) p(meta cell) and (n, G) smoothed residuals, averaged over the passes."""
        context, xy, residual, geometry = self.asked
        network, device = self.model.network, self.model.device
        xy, geometry = xy.to(device), geometry.to(device)

        def some(part: slice) -> tuple[Tensor, Tensor | None]:
            own = _of_turns(context, part)
            hidden = network.ask(own, xy[part], geometry=geometry)
            logits, inherited = network.predict(hidden, own, xy[part])
            probability = (logits / self.temperature).softmax(-1).cpu()
            return probability, None if inherited is None else inherited.cpu()

        probabilities, weights = zip(*self.at_once.each(len(xy), some), strict=True)
        probability = torch.cat(probabilities).mean(0)
        if weights[0] is None or not self.request.residuals or self.request.mode == "pick":
            return probability, None
        return probability, torch.cat(weights).mean(0).numpy() @ residual


def _of_turns(contexts: Turns, part: slice) -> Context:
    """Return the context of some turns of a window: parts only ever get smaller."""
    for whole, context in contexts:
        if whole.start <= part.start and part.stop <= whole.stop:
            if part == whole:
                return context
            return context.windows(slice(part.start - whole.start, part.stop - whole.start))
    raise AssertionError(f"no context holds turns {part.start} to {part.stop}")


def rim_first(
    coords: NDArray[np.float64], depth: NDArray[np.float64], size: int
) -> list[NDArray[np.int64]]:
    """Split cells into compact groups of ``size`` at most; groups and their cells go rim first."""
    groups = [
        group[np.argsort(depth[group], kind="stable")] for group in compact_groups(coords, size)
    ]
    return sorted(groups, key=lambda group: float(depth[group].mean()))
