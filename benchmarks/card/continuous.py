"""GeST without quantisation, for the ablation alone: continuous expression in and out.

The network is the decoder. Its content is each cell's own expression instead of its meta cell's.
Its output is expression too, by squared error: what the gene-facing layer says, added to the mean
that the local prior's kernels give. It has no p(meta cell), so nothing else of GeST can use it:
no drawn cells, no uncertainty, no response. That is why it is no setting of a model.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.card.rows import Row
from benchmarks.common.datasets import Loaded
from benchmarks.common.holes import Case
from benchmarks.common.vocabulary import columns
from napari_gest.model.config import ModelConfig
from napari_gest.model.decoder import Context, Decoder
from napari_gest.model.gest import GeST
from napari_gest.model.tokenizer import MetaCellTokenizer
from napari_gest.tasks.generation.generate import GenerateRequest
from napari_gest.tasks.generation.generation import Generation
from napari_gest.tasks.progress import finish
from napari_gest.tasks.training.train import FitRequest, TrainConfig, configs_for
from napari_gest.tasks.training.train_loop import TrainLoop, rmse_z_over_cells
from napari_gest.tasks.training.train_windows import Batch
from napari_gest.tissue.section import Section


def centre(tokenizer: MetaCellTokenizer) -> NDArray[np.float64]:
    """Return (G,) what is 0 in the standardised profiles."""
    return np.asarray(tokenizer.c_expr[0] - tokenizer.centred[0], np.float64)


def expected(
    network: Decoder, hidden: Tensor, context: Context, xy: Tensor, causal: bool
) -> tuple[Tensor, Tensor | None]:
    """Return (B, Q, G) standardised expression and the weights of residuals (B, Q, L), if any."""
    made = network.to_genes(network.head(hidden.float()))
    if network.local_prior is None:
        return made + network.log_prior.exp() @ network.profiles, None
    prior, inherited = network.local_prior(hidden, context, xy, network.log_prior, causal, None)
    return made + prior.exp() @ network.profiles, inherited


class ContinuousLoop(TrainLoop):
    """Training by squared error, from expression that is not quantised."""

    def read(self, network: Decoder, batch: Batch) -> Tensor:
        """Return (B * Q, G) predictions in genes over their spread."""
        tokenizer, genes = self.model.tokenizer, self.score.genes
        assert len(genes) == len(tokenizer.genes), "a panel whose genes are all scored"
        scale = torch.from_numpy((self.score.spread / tokenizer.spread).astype(np.float32))
        mean = torch.from_numpy((centre(tokenizer) / self.score.spread).astype(np.float32))
        context = network.encode(
            network.table(),
            batch.mixture,
            batch.content_xy,
            mass=batch.mass,
            shift=(batch.residual * scale) @ network.embed.weight.T,
            geometry=batch.content_geometry,
        )
        xy = batch.query_xy
        hidden = network.ask(context, xy, geometry=batch.query_geometry, causal=batch.causal)
        made, inherited = expected(network, hidden, context, xy, batch.causal)
        made = mean + made / scale
        if inherited is not None:
            made = made + inherited @ batch.residual
        return made.flatten(0, 1)

    def loss(self, batch: Batch) -> Tensor:
        return F.mse_loss(self.read(self.network, batch), batch.values)

    def _scored(self, step: int, seconds: float) -> dict[str, float]:
        made = torch.cat([self.read(self.average, batch) for batch in self.validation])
        truth = torch.cat([batch.values for batch in self.validation])
        # There is no probability, so there are no nats: the best step is chosen by rmse_z.
        return {
            "step": step,
            "nll": 0.0,
            "error": F.mse_loss(made, truth).item(),
            "rmse_z": rmse_z_over_cells(made, truth),
            "seconds": seconds,
        }


class ContinuousGeneration(Generation):
    """Generation by such a network: all cells at once, from measured cells alone."""

    def shift(self, cells: NDArray[np.int64]) -> Tensor:
        values, tokenizer = self.values(cells), self.model.tokenizer
        return self.model.shift_of(values - tokenizer.c_expr[tokenizer.tokens(values)])

    def predict(self) -> tuple[Tensor, NDArray[np.float32]]:
        """Return the nearest meta cells, one-hot, and what the predictions are beyond them."""
        ((_, context),), xy, residual, geometry = self.asked
        network, tokenizer = self.model.network, self.model.tokenizer
        hidden = network.ask(context, xy, geometry=geometry)
        made, inherited = expected(network, hidden, context, xy, causal=False)
        values = made.mean(0).numpy() * tokenizer.spread + centre(tokenizer)
        if inherited is not None:
            values = values + inherited.mean(0).numpy() @ residual
        values = np.maximum(values, 0).astype(np.float32)
        token = np.asarray(tokenizer.tokens(values), np.int64)
        nearest = F.one_hot(torch.from_numpy(token), tokenizer.n_meta_cells).float()
        return nearest, values - tokenizer.c_expr[token]


def train_continuous(row: Row, loaded: Loaded, seed: int) -> GeST:
    """Return a network of the row's shape and training, fitted to the sections of ``loaded``."""
    shape, training = configs_for(loaded.train)
    request = FitRequest(
        tuple(loaded.train),
        ModelConfig(**shape.model_dump() | row.model),
        TrainConfig(**training.model_dump() | row.train),
        seed,
    )
    request.check()
    return finish(ContinuousLoop(request).steps())[0]


def fill_continuous(
    model: GeST, section: Section, case: Case, loaded: Loaded
) -> NDArray[np.float32]:
    """Return (m, G) predictions for the cells of a hole."""
    present = ~case.hole.buffer
    request = GenerateRequest(
        section.subset(present),
        model,
        case.hole.mask[present],
        seed=loaded.seed,
        frontier=1000 * len(case.truth),
        field=0.0,
    )
    request.check()
    made = finish(ContinuousGeneration(request).steps())
    place = {row: i for i, row in enumerate(made.rows)}
    order = [place[row] for row in section.rows[case.hole.mask]]
    return made.expression[order][:, columns(made.genes, loaded.genes)]
