"""Planes through images, and potentials of fields in them, against closed forms."""

import numpy as np
import pytest
import torch

from trainer.problems import Problem
from trainer.slices import MARGIN, Plane, grid, integrated

COUNT = 13
A, B = np.meshgrid(*[np.linspace(-1, 1, COUNT)] * 2, indexing="ij")


def images(count=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, 1, 4, 5, generator=generator) * 2 - 1


def test_the_three_images_lie_in_their_plane_and_places_come_back():
    three = images()
    plane = Plane.through(three)
    corners = plane.places(three)
    assert torch.allclose(plane.points(corners), three.double(), atol=1e-6)
    assert float(corners.norm(dim=1).max()) == pytest.approx(1 / MARGIN)
    assert torch.allclose(plane.axes.T @ plane.axes, torch.eye(2).double())
    first, second, _ = corners
    assert second[1] == pytest.approx(float(first[1]))  # the first axis is from one to the other
    assert second[0] > first[0]
    places = grid(COUNT)
    assert torch.allclose(plane.places(plane.points(places)), places)
    assert np.allclose(places.numpy().reshape(COUNT, COUNT, 2)[..., 0], A)


def test_noise_beside_the_plane_has_no_part_in_it():
    plane, noise = Plane.through(images()), images(5, seed=1)
    beside = plane.beside(noise)
    assert float((beside.flatten(1) @ plane.axes).abs().max()) < 1e-6
    again = plane.beside(beside)
    assert torch.allclose(again, beside)


@pytest.mark.parametrize("three", [images()[[0, 0, 1]], images()[[0, 1, 0]]])
def test_images_that_span_no_plane_are_refused(three):
    with pytest.raises(Problem, match="span a plane"):
        Plane.through(three)


def test_slopes_of_a_quadratic_give_it_back_and_a_whirl_is_no_ones_slope():
    potential = 3 * A**2 - 2 * A * B + 0.5 * B**2 + A - 4 * B
    slopes = np.stack([6 * A - 2 * B + 1, -2 * A + B - 4], -1)
    found, left = integrated(slopes)
    assert found == pytest.approx(potential - potential.mean())
    assert left < 1e-12
    whirl = np.stack([-B, A], -1)
    found, left = integrated(whirl)
    assert left > 0.7  # but for the square's corners all of it
    both, _ = integrated(slopes + whirl)
    assert both == pytest.approx(potential - potential.mean() + found)
    assert integrated(np.zeros((COUNT, COUNT, 2)))[1] == 0
