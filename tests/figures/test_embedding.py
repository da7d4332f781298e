"""The figure of cells on a diffusion map."""

import numpy as np
import pytest

from sparsenode.errors import UserError
from sparsenode.figures import embedding


def test_each_cell_is_drawn_once_and_the_stem_belongs_to_no_lineage(cells):
    training, test = embedding.read_donors(cells)
    assert (training.name, training.role, test.role) == ("s1", "training", "test")
    assert len(training.times) == 60 + 60 - 5
    assert (training.lineages == embedding.SHARED).sum() == 5
    assert set(training.lineages) == {"erythroid", "monocyte", embedding.SHARED}
    shared = training.coordinates[training.lineages == embedding.SHARED]
    np.testing.assert_allclose(shared[:, 1], 0.0)


def test_the_time_of_a_shared_cell_is_the_mean_of_its_times():
    coordinates = np.array([[0.0, 0.0], [1.0, 1.0], [0.0, 0.0]])
    places, lineages, times = embedding.merge_cells(coordinates, np.array(["a", "a", "b"]), np.array([0.0, 1.0, 0.5]))
    np.testing.assert_array_equal(places, coordinates[:2])
    assert lineages.tolist() == [embedding.SHARED, "a"]
    assert times.tolist() == [0.25, 1.0]


@pytest.mark.slow(reason="draws a whole figure")
def test_training_donors_come_first_and_many_are_cut(cells):
    donors = embedding.read_donors(cells)
    many = [donors[0]] * 4 + [donors[1]] * 4
    figure = embedding.draw("cells", many, ["erythroid", "monocyte"], "pseudotime (0 to 1)")
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert len(titles) == embedding.MOST_DONORS
    assert "(6 of 8 donors)" in figure.get_suptitle()


def test_averages_are_called_so(cells):
    cells.obs["count"] = 10.0
    assert all(donor.averaged for donor in embedding.read_donors(cells))


@pytest.mark.parametrize("width", [0, 1])
def test_data_without_a_map_are_refused(cells, width):
    if width:
        cells.obsm["X_diffmap"] = cells.obsm["X_diffmap"][:, :1]
    else:
        del cells.obsm["X_diffmap"]
    with pytest.raises(UserError, match=r"obsm\['X_diffmap'\] (is missing|has 1 component).*`embedding: diffmap`"):
        embedding.read_donors(cells)
