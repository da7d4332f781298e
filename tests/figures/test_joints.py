"""The figure of networks between joints."""

import numpy as np
import pytest

from sparsenode.errors import UserError
from sparsenode.evaluation.results import Choice
from sparsenode.figures import joints

CHOICES = {("first_order", "l1"): Choice(0.01, "rolling")}


def make_matrix(adata, edges):
    """Signed weights (source, target) of edges between channels."""
    matrix = np.zeros((adata.n_vars, adata.n_vars))
    for (source, target), weight in edges.items():
        matrix[adata.var_names.get_loc(source), adata.var_names.get_loc(target)] = weight
    return matrix


def test_joints_are_ordered_by_parts_of_the_body(walking):
    order = joints.order_joints(walking.var)
    names = ["root", "lowerback", "head", "lhumerus", "rhumerus", "lfemur", "ltibia", "rfemur", "rtibia"]
    assert list(order.names) == names
    assert list(order.parts) == [
        "root", "trunk", "head", "left arm", "right arm", "left leg", "left leg", "right leg", "right leg"
    ]  # fmt: skip
    assert order.channels.sum(axis=0).tolist() == [1] * walking.n_vars
    assert list(walking.var_names[order.channels[5]]) == ["lfemur.rx", "lfemur.rz"]


def test_a_pair_of_joints_has_the_strongest_path_between_their_channels(walking):
    order = joints.order_joints(walking.var)
    edges = {
        ("lfemur.rx", "rfemur.rx"): -3.0, ("lfemur.rz", "rfemur.rz"): 2.0, ("root.rx", "head.rx"): 0.5,
        ("lfemur.rx", "lfemur.rz"): 9.0,
    }  # fmt: skip
    between = joints.aggregate(make_matrix(walking, edges), order)
    place = order.names.index
    assert between[place("lfemur"), place("rfemur")] == 3
    assert between[place("rfemur"), place("lfemur")] == 0
    assert between[place("root"), place("head")] == 0.5
    assert np.isnan(np.diag(between)).all()
    assert joints.empty_share(between) == pytest.approx(1 - 2 / (9 * 8))


@pytest.mark.slow(reason="draws a whole figure")
def test_panels_tell_the_share_of_empty_pairs_and_label_both_axes(walking, tmp_path):
    order = joints.order_joints(walking.var)
    between = joints.aggregate(make_matrix(walking, {("lfemur.rx", "rfemur.rx"): -3.0}), order)
    figure = joints.draw("mocap", CHOICES, {("first_order", "l1"): between}, order)
    axes, bar = figure.subfigs[0].axes
    assert axes.get_title() == "l1, strength 0.01\n99% of joint pairs empty"
    for labels in (axes.get_xticklabels(), axes.get_yticklabels()):
        assert [label.get_text() for label in labels] == list(joints.BODY_PARTS)
    assert "relative to the network's strongest" in bar.get_ylabel()
    shown = axes.collections[0].get_array()
    assert shown.count() == 1
    assert shown[order.names.index("lfemur"), order.names.index("rfemur")] == 1
    figure.savefig(tmp_path / "joints.png", dpi=40)


@pytest.mark.slow(reason="draws a whole figure")
def test_a_network_without_any_path_can_be_drawn(walking, tmp_path):
    order = joints.order_joints(walking.var)
    between = joints.aggregate(make_matrix(walking, {}), order)
    figure = joints.draw("mocap", CHOICES, {("first_order", "l1"): between}, order)
    assert "100% of joint pairs empty" in figure.subfigs[0].axes[0].get_title()
    figure.savefig(tmp_path / "joints.pdf")


def test_the_full_network_is_shown_only_where_there_is_no_other():
    choices = {("a", name): Choice(0.0, "rolling") for name in ("pathreg", "none", "l1")}
    choices |= {("b", "none"): Choice(0.0, "rolling"), ("b", "l1"): Choice(None, "rolling")}
    assert list(joints.choose_methods(choices)) == [("a", "l1"), ("a", "pathreg"), ("b", "none")]
    with pytest.raises(UserError, match="no strength was chosen"):
        joints.choose_methods({("a", "l1"): Choice(None, "rolling")})


def test_data_without_joints_are_refused(walking):
    with pytest.raises(UserError, match="no column 'joint'"):
        joints.order_joints(walking.var.drop(columns="joint"))
