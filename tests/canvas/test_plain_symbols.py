"""Symbols as plain text are what napari's own are, for whoever reads them."""

from __future__ import annotations

import numpy as np
from napari.layers import Layer, Points
from napari.layers.points._points_constants import Symbol

from napari_gest.canvas._napari_private.plain_symbols import hold_plain_symbols


def test_symbols_stay_equal_and_can_be_changed():
    layer = Points(np.zeros((4, 2)), symbol="disc")
    hold_plain_symbols(layer)
    assert {type(one) for one in layer.symbol} == {str}
    assert (layer.symbol == Symbol.DISC).all()
    layer.selected_data = {1}
    layer.current_symbol = "star"
    assert layer.symbol.tolist() == ["disc", "star", "disc", "disc"]
    layer.add([1.0, 1.0])
    assert len(layer.symbol) == 5
    copied = Layer.create(*layer.as_layer_data_tuple())
    assert copied.symbol.tolist() == layer.symbol.tolist()


def test_layers_of_several_symbols_and_none_are_left_alone():
    mixed = Points(np.zeros((2, 2)), symbol=["disc", "star"])
    hold_plain_symbols(mixed)
    assert mixed.symbol.tolist() == [Symbol.DISC, Symbol.STAR]
    assert type(mixed.symbol[0]) is Symbol
    hold_plain_symbols(Points(np.zeros((0, 2))))
