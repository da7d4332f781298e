"""`SparseNODE`: fit, forecast and ask for the network in Python, as with the estimators of scikit-learn."""

from __future__ import annotations

import contextlib
import inspect
import json
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
from sklearn.base import BaseEstimator

from sparsenode.errors import InterruptedTrainingError, UserError
from sparsenode.estimator.settings import PARAMETERS, FitSettings, complete_settings, preparation
from sparsenode.interventions.settings import interval_levels
from sparsenode.settings import AUTO
from sparsenode.typed import plain_value, read_settings, unknown_name

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

    from sparsenode.automatic.record import Choice
    from sparsenode.ensemble.members import Ensemble, Member
    from sparsenode.ensemble.states import States, Times
    from sparsenode.estimator.importance import Importances
    from sparsenode.estimator.peers import Inferred
    from sparsenode.estimator.plots import Plots
    from sparsenode.evaluation.evaluate import Evaluation
    from sparsenode.evaluation.truth import Truth
    from sparsenode.inference import EdgeTest
    from sparsenode.remarks import Remark
    from sparsenode.training.engine import Engine

MODEL = "fit"
"""Name of the model among its settings; the method is called by its regularizer."""
_KEYS = {
    "time": "time_key",
    "lineage_times": "time_key",
    "trajectory": "trajectory_key",
    "group": "group_key",
    "subject": "subject_key",
    "layer": "layer",
    "lineage_weights": "lineage_key",
}
"""Keywords of `fit` by the options of the data source `anndata`."""
DENSE = "dense"
"""What the model without a regularizer is called beside the fit."""
# What is computed from the fit when it is first asked for.
_DERIVED = (
    *("evaluation_", "dense_evaluation_", "peers_", "remarks_", "edge_test_", "matched_", "importances_"),
    *("_chosen", "_truth", "_tables"),
)
TESTED_PRIOR = "tested"
"""Name of the prior network of a sparse model: the edges that it may have."""
_REFITTED = ("seeds", "iterations", "learning_rate", "verbose", "threads", "device")
COVERAGE = 0.9
"""Share of the members that intervals leave inside."""


class Forecast(NamedTuple):
    """A forecast and its interval over members, each (time, variable), or a list of one such array a state.

    The interval is the model's uncertainty, how far members differ that were started and weighted differently, and not
    the noise of observations, which scatter more widely.
    """

    states: Any
    lower: Any
    upper: Any


class SparseNODE(BaseEstimator):
    """A sparse neural ordinary differential equation dx/dt = f(x), fitted to trajectories, with its network.

    Members, one for each strength of the regularizer and each seed, are trained side by side; the strength is chosen on
    validation data that are set aside before. All settings are keywords, those of `FitSettings`; `help(FitSettings)` or
    `SparseNODE.describe()` says what each one means. What is "auto" is taken from the data.

    Attributes:
        ensemble_: all trained members.
        dense_: the same model without a regularizer, to compare with; None where the fit has none, or was interrupted.
        adata_: the trajectories that it was fitted to, with their splits.
        settings_: the frozen settings, with which the workflow trains the same members, bit for bit.
        history_: loss and penalty of each member over the iterations.
        evaluation_: what was measured: metrics, forecasts, networks, choices.
        dense_evaluation_: the same of the dense model.
        peers_: scores of other people's methods on the same training data.
        strength_: the chosen strength.
        remarks_: what is doubtful about the fit.
        edge_test_: the test of edges, once it was asked for.
        feature_names_in_: names of the variables, (variable,).
        n_features_in_: their number.

    Example:
        >>> model = SparseNODE(seeds=3).fit(X, t)  # doctest: +SKIP
        >>> model.network().head()  # doctest: +SKIP
    """

    def __init__(self, **settings: Any) -> None:
        """Keep the settings as they are; `fit` checks them."""
        allowed = PARAMETERS
        for name in settings:
            if name not in allowed:
                raise UserError(unknown_name("SparseNODE: unknown setting", name, list(allowed)))
        for name, default in allowed.items():
            setattr(self, name, settings.get(name, default))

    @staticmethod
    def describe() -> pd.DataFrame:
        """What each setting means: a table of name, default and description."""
        import pandas as pd

        rows = [
            {"setting": name, "default": PARAMETERS[name], "description": field.description}
            for name, field in FitSettings.model_fields.items()
            if name in PARAMETERS
        ]
        return pd.DataFrame(rows)

    def fit(
        self,
        X: Any,  # noqa: N803  as in scikit-learn
        t: Any = None,
        *,
        trajectory: Any = None,
        lineage_weights: Any = None,
        time_key: str | Sequence[str] | None = None,
        trajectory_key: str | None = None,
        lineage_key: str | None = None,
        group_key: str | None = None,
        subject_key: str | None = None,
        layer: str | None = None,
    ) -> Self:
        """Train, choose the strength, and measure.

        Args:
            X: an array or DataFrame (observation, variable), a list of them, one a trajectory, an array (trajectory,
                time, variable), or an AnnData of observations, or of trajectories as `load_dataset` gives it, or the
                path of its h5ad file.
            t: times, (observation,), in any steps; of several trajectories one array for all or a list of one each.
                None for steps of one. Of a DataFrame also the name of a column.
            trajectory: labels (observation,), where one array holds several trajectories, or the name of a column.
            lineage_weights: weights or a mask (cell, lineage), where cells in one array are of several lineages: each
                lineage is a trajectory of the cells whose weight is at least a quarter of their largest one, and a
                weight is that of the cell in the loss. `t` may then be (cell, lineage) too, NaN where a cell is not of
                a lineage, which tells the lineages by itself.
            time_key: column of an AnnData's `obs` with the times; of cells that are of several lineages also one column
                for each, NaN where a cell is not of it.
            trajectory_key: column of `obs` with the trajectory of each observation (a donor, where there are lineages);
                None where all are one.
            lineage_key: entry of `obsm` with the weights of the lineages, as `lineage_weights`.
            group_key: column of `obs` that trajectories of one kind share (lineage, branch).
            subject_key: column of `obs` with the donor or person.
            layer: layer of an AnnData to model; `X` where it is None.

        Returns:
            The estimator itself. Interrupted by Ctrl-C after the warm-up it is fitted with the members as they are, and
            warns of it; before, it stays as it was.

        Raises:
            UserError: settings or data cannot be used; the message says what was found, and what to do.
            KeyboardInterrupt: it was interrupted before there was anything to keep.
        """
        from sparsenode.data.contract import read_metadata
        from sparsenode.estimator.importance import same_engine
        from sparsenode.estimator.peers import peer_options

        settings = self._read_settings()
        keys = {"trajectory": trajectory_key, "group": group_key, "subject": subject_key, "layer": layer}
        keys |= {"lineage_weights": lineage_key}
        adata = _assemble((X, t, trajectory, lineage_weights), time_key, keys, settings)
        model_settings, method_settings, choices = complete_settings(settings, adata)
        frozen = {
            "dataset": read_metadata(adata).name,
            "model": MODEL,
            "method": method_settings["regularizer"],
            "model_settings": model_settings,
            "method_settings": method_settings,
            **({"automatic": choices} if choices else {}),
        }
        peer_options(settings, adata.n_vars)
        ensemble, history = _train(adata, frozen, settings, "SparseNODE" if self.verbose else "")
        dense = None
        if frozen["method"] != "none" and not any(map(_is_interrupted, ensemble.members)):
            without = {"regularizer": "none", "strengths": [0.0], "options": {}}
            frozen |= {"method": "none", "method_settings": without}
            title = "SparseNODE, dense model" if self.verbose else ""
            dense = _train_dense(adata, frozen, settings, title, same_engine(ensemble))
        self._set_fitted(adata, ensemble, history, dense)
        return self

    def _set_fitted(
        self, adata: AnnData, ensemble: Ensemble, history: pd.DataFrame, dense: Ensemble | None = None
    ) -> None:
        """Set what was trained; what follows from it is measured when it is first asked for.

        Raises:
            UserError: no member has finished.
        """
        from sparsenode.data.magnitudes import measure_magnitudes
        from sparsenode.evaluation.remarks import check_finished

        check_finished([ensemble], measure_magnitudes(adata))
        for name in _DERIVED:
            self.__dict__.pop(name, None)
        self.ensemble_, self.adata_, self.history_, self.dense_ = ensemble, adata, history, dense
        self.settings_: dict[str, Any] = ensemble.settings
        self.feature_names_in_ = np.array(ensemble.features, dtype=object)
        self.n_features_in_ = len(ensemble.features)

    @cached_property
    def evaluation_(self) -> Evaluation:
        """What is measured: metrics, forecasts, networks, and the choice of a strength."""
        self._check_fitted()
        return _measure(self.adata_, self.ensemble_)

    @cached_property
    def dense_evaluation_(self) -> Evaluation | None:
        """What is measured of the dense model, None where there is none that could be used."""
        self._check_fitted()
        finished = self.dense_ is not None and any(member.status == "finished" for member in self.dense_.members)
        return _measure(self.adata_, self.dense_) if finished and self.dense_ is not None else None

    @cached_property
    def peers_(self) -> Inferred:
        """Scores of the peers, and the reason of each that gave none."""
        from sparsenode.estimator.peers import ask_peers

        self._check_fitted()
        order = int(self.settings_["model_settings"]["order"])
        return ask_peers(self.adata_, self._read_settings(), order, verbose=bool(self.verbose))

    @cached_property
    def _truth(self) -> Truth:
        """What is known of the network."""
        from sparsenode.data.observations import read_observations
        from sparsenode.evaluation.truth import describe_truth

        return describe_truth(read_observations(self.adata_))

    @cached_property
    def _tables(self) -> dict[str, pd.DataFrame]:
        """Edges by each method, by its name: the fit first, then the dense model, peers, and their consensus."""
        from sparsenode.estimator.peers import CONSENSUS, consensus, consensus_table, labels_of, peer_table

        model, method = self._key
        features = list(self.ensemble_.features)
        tables = {method: self._ranked_table}
        compared = {
            label: peer_table(peer, features, self._truth) for label, peer in labels_of(self.peers_.scores).items()
        }
        if self.dense_evaluation_ is not None:
            tables[DENSE] = self.dense_evaluation_.networks[model, "none"]
        tables |= compared
        if self.consensus:
            scores = consensus([tables[method], *compared.values()], features)
            tables[CONSENSUS] = consensus_table(scores, features, self._truth)
        return tables

    @cached_property
    def importances_(self) -> Importances:
        """How much each edge matters, by several measures, and which of them ranks."""
        from sparsenode.data.observations import read_observations
        from sparsenode.estimator.importance import measure_importances

        settings = self._read_settings()
        with _threads(settings.threads):
            return measure_importances(
                self._chosen,
                self.adata_,
                read_observations(self.adata_, networks=False),
                self._ranking,
                test=lambda: self.edge_test_ if hasattr(self, "edge_test_") else self.test_edges(),
                memory_mb=settings.memory_mb,
            )

    @property
    def _ranking(self) -> Choice:
        """What edges are ranked by, and why."""
        from sparsenode.automatic.record import BY_HAND, Choice

        if self.ranking != AUTO:
            return Choice("ranking", str(self.ranking), BY_HAND)
        choices = self.settings_.get("automatic", {}).get("choices", [])
        chosen = next((Choice(*choice) for choice in choices if choice[0] == "ranking"), None)
        return chosen or Choice("ranking", "paths", "what the penalty has left")

    @property
    def _ranked_table(self) -> pd.DataFrame:
        """The table of the fit's edges, in the order of the importance that ranks.

        Their `share` is that importance, but never below 0: a negative cost orders edges, and is no share of anything.
        """
        table = self.evaluation_.networks[self._key]
        if self.importances_.ranking.value == "paths":
            return table
        numbers = {name: number for number, name in enumerate(self.ensemble_.features)}
        source, target = (table[name].map(numbers).to_numpy(dtype=int) for name in ("source", "target"))
        ordered = self.importances_.ordered[source, target]
        table = table.assign(share=ordered.clip(min=0.0))
        order = np.lexsort((-ordered, source == target))
        return table.iloc[order].reset_index(drop=True)

    def importance(self, *, self_loops: bool = False) -> pd.DataFrame:
        """How much each pair matters, whether or not a member has the edge, the most important first.

        Args:
            self_loops: whether what a variable does to itself is listed too.

        Returns:
            A table of `rank`, `source`, `target`, `importance` (by which is ranked, and `network` ranks too), and a
            column of each measure there is: `fitted` (share of the source in how the target's rate depends on all
            variables, of the members at the chosen strength), `paths` (the mean share of the source in what the target
            gets, by paths that the penalty has left), and where these rank `derivatives` (as `fitted`, of members that
            only match slopes) and `costs` (log increase of the error of held-out observations without the source).
        """
        self._check_fitted()
        return self.importances_.table(list(self.ensemble_.features), self_loops=self_loops)

    @property
    def strength_(self) -> float | None:
        """The chosen strength, None where fewer than half of the members of each could be used."""
        strength: float | None = self.evaluation_.selections[self._key]["chosen"]
        return strength

    @cached_property
    def remarks_(self) -> list[Remark]:
        """What is doubtful about the fit."""
        from sparsenode.data.magnitudes import measure_magnitudes
        from sparsenode.evaluation.remarks import remarks_of_dataset

        evaluation, magnitudes = self.evaluation_, measure_magnitudes(self.adata_)
        return remarks_of_dataset([self.ensemble_], evaluation.metrics, evaluation.selections, magnitudes)

    def _read_settings(self) -> FitSettings:
        """The settings, checked."""
        values = {name: getattr(self, name) for name in PARAMETERS if name in FitSettings.model_fields}
        return read_settings(FitSettings, {name: plain_value(value) for name, value in values.items()}, "SparseNODE")

    def _check_fitted(self) -> None:
        if not hasattr(self, "ensemble_"):
            from sklearn.exceptions import NotFittedError

            raise NotFittedError("this SparseNODE is not fitted yet; call fit with data first")

    @property
    def _key(self) -> tuple[str, str]:
        """Model and method."""
        return self.settings_["model"], self.settings_["method"]

    @cached_property
    def _chosen(self) -> Ensemble:
        """The members that finished at the chosen strength."""
        self._check_fitted()
        if self.strength_ is None:
            raise UserError(
                "no strength was chosen, since fewer than half of the members of each could be used; see summary(), "
                "and fit with other settings"
            )
        members = enumerate(self.ensemble_.members)
        rows = [row for row, member in members if member.strength == self.strength_ and member.status == "finished"]
        return self.ensemble_.select(rows)

    def __getstate__(self) -> dict[str, Any]:
        """What is pickled: not what is derived from it."""
        state: dict[str, Any] = dict(super().__getstate__())
        return {name: value for name, value in state.items() if name not in _DERIVED}

    def __sklearn_tags__(self) -> Any:
        """What data the estimator takes: sparse matrices, which become dense, and several trajectories in one array."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.three_d_array = True
        return tags

    def network(self, *, method: str | None = None, self_loops: bool = False) -> pd.DataFrame:
        """Edges at the chosen strength that at least one member has, the strongest first.

        Args:
            method: whose network: "dense" for the model without a regularizer, a peer ("lasso" or "peer:lasso"), or
                "consensus" where it was asked for; None for that of the fit.
            self_loops: whether what a variable does to itself is listed too, after all other edges.

        Returns:
            A table of `rank` (1 for the strongest), `source`, `target`, `effect` (the signed share of the source in
            what the target gets from all other variables, between -1 and 1, or what else ranks, as in `importance`; a
            negative cost is 0 here, and edges of negative costs are ranked by them),
            `sign` (1 activation, -1 repression, 0 neither), `selection_frequency` (share of the members with the edge),
            `weight` (median strength of the paths), and of data with a true network `known`. Of a peer `weight` is its
            score; of a consensus `effect` and `weight` are 1 for a pair that all methods have first, 0 for one that all
            have last, and pairs are in the order of their mean rank over the fit and its peers. After a test of
            edges there are also `cost` (log increase of the error of held-out observations without the source),
            `p`, `q`, `selected` and `verdict`.

        Raises:
            UserError: there is no such method.
        """
        self._check_fitted()
        table = self._ranked_table if method is None else self._table_of(method)
        if not self_loops:
            table = table[table["source"] != table["target"]]
        table = table.reset_index(drop=True)
        effect = table["share"] * np.where(table["sign"] < 0, -1.0, 1.0)
        table = table.assign(rank=np.arange(1, len(table) + 1), effect=effect)
        columns = ["rank", "source", "target", "effect", "sign", "selection_frequency", "weight"]
        table = table[[*columns, *(name for name in ("known",) if name in table)]]
        if method is None and hasattr(self, "edge_test_"):
            tested = self.edge_test_.table.rename(columns={"effect": "cost"})
            columns = ["source", "target", "cost", "p", "q", "selected", "verdict"]
            table = table.merge(tested[columns], "left", ["source", "target"])
        return table

    def test_edges(self, **settings: Any) -> EdgeTest:
        """Test which edges are needed, given the other measured variables, on the data of the fit without test data.

        Args:
            **settings: those of `inference.EdgeTestSettings`, `forbidden` and `required` pairs (source, target), and
                `threads`, folds that are computed at a time.

        Returns:
            The tables of the test, which `edges`, `network`, `refit_edges` and `plot.edges()` take from here on.

        Raises:
            UserError: settings or names cannot be used.
        """
        from sparsenode.estimator.importance import BY_COSTS
        from sparsenode.inference import test_edges

        self._check_fitted()
        self.edge_test_: EdgeTest = test_edges(self.adata_, **{"threads": int(self.threads), **settings})
        if self._ranking.value in BY_COSTS:
            for name in ("importances_", "_tables"):
                self.__dict__.pop(name, None)
        return self.edge_test_

    def edges(self, fdr: float | None = None, *, dependent: bool = False) -> pd.DataFrame:
        """Edges that are needed, given the other measured variables, the largest effect first.

        The test is made when it is first asked for, which takes minutes; `test_edges` makes it with other settings.

        Args:
            fdr: expected share of absent edges among these, .05 to .2; that of the test's settings (.1) where it is
                None.
            dependent: whether p-values may depend on each other in any way.

        Raises:
            UserError: the rate is not between 0 and 1.
        """
        return self._edge_test().edges(fdr, dependent=dependent)

    def _edge_test(self) -> EdgeTest:
        """The test of edges, made where nobody has asked for it yet."""
        self._check_fitted()
        return self.edge_test_ if hasattr(self, "edge_test_") else self.test_edges()

    def write_edges(self, folder: str | Path) -> None:
        """Write the tested edges into a folder, the files that the workflow has in `results/edges/DATASET`.

        They are `network.csv`, all pairs with effects, intervals, signs, p- and q-values and verdicts,
        `self_effects.csv`, `targets.csv`, `groups.csv`, `network.graphml`, the selected edges, and `test.json`.
        """
        from sparsenode.evaluation.edges import write_test

        write_test(self._edge_test(), list(self.ensemble_.features), Path(folder))

    def annotate(self, adata: AnnData, *, key_added: str = "edges") -> None:
        """Write the tested edges into `varp` of an AnnData that has the variables of the fit.

        Args:
            adata: it is changed: `varp["edges_effect"]`, `varp["edges_q"]`, `varp["edges_sign"]` (row = source, column
                = target, what variables do to themselves on the diagonal; effect and sign are NaN where the source was
                a candidate in no fold) and the boolean `varp["edges_selected"]`, for the default `key_added`;
                `uns["edges"]` says how they were tested.
            key_added: how the keys of what is written begin.

        Raises:
            UserError: a variable of the fit is missing.
        """
        from sparsenode.evaluation.edges import edge_matrices

        test = self._edge_test()
        names = [str(name) for name in adata.var_names]
        matrices = edge_matrices(test, names)
        for name in ("effect", "q", "sign", "selected"):
            adata.varp[f"{key_added}_{name}"] = matrices[name]
        adata.uns[key_added] = {
            "settings": json.dumps(test.settings.model_dump(mode="json")),
            "summary": test.summary(),
            "blocks": test.blocks,
        }

    def refit_edges(self, edges: pd.DataFrame | Iterable[tuple[str, str]] | None = None, **settings: Any) -> SparseNODE:
        """The sparse model: trained again with some edges only, without a penalty; all others have no influence at all.

        Forecasts, interventions and figures of what is returned are those of the sparse model, and its `dense_` is the
        model without a regularizer, so that `summary`, `rankings` and `scores` set both side by side.

        Args:
            edges: pairs (source, target), or a table with these columns, such as `edges()` gives; None for the edges
                that the test has selected or was told are required. What variables do to themselves is always part.
                The test has seen the validation data, so that only the error of test data is that of data that had no
                part in the choice of these edges.
            **settings: settings of `SparseNODE` to change, of those that tell how long and with how many members is
                trained: `seeds`, `iterations`, `learning_rate`, `verbose`.

        Returns:
            Another fitted estimator, on the same data.

        Raises:
            UserError: a name is none of the variables, or the fit has no network for each target, and only in
                these can edges be masked.
        """
        from sparsenode.data.contract import replace_entries
        from sparsenode.inference.edges import pair_matrix

        self._check_fitted()
        if unknown := [name for name in settings if name not in _REFITTED]:
            raise UserError(unknown_name("refit_edges: unknown setting", unknown[0], list(_REFITTED)))
        model_settings = dict(self.settings_["model_settings"])
        if model_settings["network"] != "per_target":
            raise UserError(
                f"refit_edges: the fit has the architecture {model_settings['network']!r}, in which no edge can be "
                "masked by itself; fit with architecture='per_target'"
            )
        pairs: Any = self._edge_test().kept_edges() if edges is None else edges
        if hasattr(pairs, "columns"):
            if missing := [name for name in ("source", "target") if name not in pairs.columns]:
                raise UserError(
                    f"refit_edges: the table of edges has no column {missing[0]!r}; give `source` and `target`"
                )
            pairs = zip(pairs["source"], pairs["target"], strict=True)
        matrix = pair_matrix(pairs, self.ensemble_.features, "refit_edges", self_effects=True)
        adata = replace_entries(
            self.adata_,
            varp={**self.adata_.varp, f"prior_{TESTED_PRIOR}": matrix.astype(float)},
        )
        model_settings |= {name: settings[name] for name in ("iterations", "learning_rate") if name in settings}
        sparse = type(self)(**{**self.get_params(deep=False), "ranking": "paths", **settings})
        frozen = {
            **{name: self.settings_[name] for name in ("dataset", "model")},
            "method": "masked",
            "model_settings": model_settings,
            "method_settings": {"regularizer": "masked", "strengths": [0.0], "options": {"prior": TESTED_PRIOR}},
        }
        title = "SparseNODE, sparse model" if sparse.verbose else ""
        ensemble, history = _train(adata, frozen, sparse._read_settings(), title)
        is_plain = self.settings_["method"] == "none"
        sparse._set_fitted(adata, ensemble, history, self.ensemble_ if is_plain else self.dense_)
        if hasattr(self, "edge_test_"):
            sparse.edge_test_ = self.edge_test_
        return sparse

    def _table_of(self, method: str) -> pd.DataFrame:
        """The table of edges of a method, named with or without "peer:"."""
        from sparsenode.errors import describe_choice
        from sparsenode.labels import PEER

        for name in (method, f"{PEER}{method}"):
            if name in self._tables:
                return self._tables[name]
        reasons = [f"{name}: {reason}" for name, reason in self.peers_.reasons.items()]
        without = f" Without scores are {'; '.join(reasons)}." if reasons else ""
        raise UserError(
            f"the fit has no network by {method!r}; {describe_choice(method, list(self._tables))}; name peers in the "
            f"setting `peers`, and set `consensus=True` for that of all.{without}"
        )

    def rankings(self) -> pd.DataFrame:
        """Edges of the fit beside those of the dense model and of peers, which saw the same training data only.

        Returns:
            A table of `method` (that of the fit, `dense`, `peer:NAME`, and `consensus` where it was asked for) and the
            columns of `network`, the fit first.
        """
        import pandas as pd

        self._check_fitted()
        tables = [self.network(method=name).assign(method=name) for name in self._tables]
        table = pd.concat(tables, ignore_index=True)
        return table[["method", *(name for name in table if name != "method")]]

    def scores(self) -> pd.DataFrame:
        """What each network is worth beside the true one, where the data have one.

        Returns:
            A table of `method` and, over all known pairs off the diagonal, `auroc`, `auprc` and `density`, the share of
            edges, which is the AUPRC of a random ranking.

        Raises:
            UserError: the data have no true network.
        """
        import pandas as pd

        from sparsenode.estimator.peers import score_matrix, table_shares

        self._check_fitted()
        if self._truth.edges is None:
            raise UserError("the data have no true network to score the learned ones by; `rankings` compares them")
        features, fitted = list(self.ensemble_.features), self._key[1]
        ordered = self.importances_.ordered
        rows = [
            {
                "method": name,
                **score_matrix(ordered if name == fitted else table_shares(table, features), self._truth),
            }
            for name, table in self._tables.items()
        ]
        return pd.DataFrame(rows)

    def path(self) -> pd.DataFrame:
        """What each strength gives.

        Returns:
            A table of `strength`, `error` (mean validation error over members and trajectories), `excess` and
            `standard_error` (of the log error over that of the best strength), `edges` (median number over members),
            `stability` of the selected edges, `members` and `usable` ones, and `chosen`.
        """
        import pandas as pd

        self._check_fitted()
        table = pd.DataFrame(self.evaluation_.selections[self._key]["candidates"])
        paths = self.ensemble_.path_matrix()
        from sparsenode.evaluation.networks import selection_frequency

        edges = [
            int(selection_frequency(paths[row][None])[~np.eye(self.n_features_in_, dtype=bool)].sum())
            for row in range(len(paths))
        ]
        strengths = [member.strength for member in self.ensemble_.members]
        table["edges"] = pd.Series(edges).groupby(strengths).median().reindex(table["strength"]).to_numpy()
        table["chosen"] = table["strength"] == self.strength_
        columns = ["strength", "error", "excess", "standard_error", "edges", "stability", "usable", "members", "chosen"]
        return table.rename(columns={"mean": "error"})[columns]

    def forecast(
        self, x0: States, t: Times, *, clamp: Mapping[str, float] | None = None, coverage: float = COVERAGE
    ) -> Forecast:
        """Forecast from one or several states.

        Args:
            x0: a state (variable,), or several (row, variable); a DataFrame or AnnData has the variables by name.
            t: increasing times, the first that of the state; of several states a list of one array each, too.
            clamp: values at which variables are held all the time (a knock-out, an over-expression), by name.
            coverage: share of the members that the interval leaves inside.

        Returns:
            The median over members and the interval around it. The interval tells how uncertain the model is, not how
            far observations scatter, and it is too narrow: members share the data and what the network cannot express.
            On simulated systems intervals that should hold nine tenths of the true states held about half of them over
            ten members, and a fifth over three.

        Raises:
            UserError: shapes, names or times do not fit.
        """
        chosen, levels = self._chosen, interval_levels(coverage)
        single = not hasattr(x0, "columns") and not hasattr(x0, "obs") and np.ndim(x0) == 1
        states: Any = np.asarray(x0)[None] if single else x0
        forecasts = chosen.forecast(states, t, clamp=clamp)
        medians, lower, upper = zip(*(np.quantile(members, levels, axis=0) for members in forecasts), strict=True)
        return Forecast(medians[0], lower[0], upper[0]) if single else Forecast(list(medians), list(lower), list(upper))

    def rates(self, x: States) -> np.ndarray:
        """Rates of change dx/dt at states (observation, variable), the median over members, of the same shape."""
        states: Any = np.asarray(x)[None] if np.ndim(x) == 1 and not hasattr(x, "columns") else x
        rates = np.median(self._chosen.rates(states), axis=0)
        return np.asarray(rates[0] if states is not x else rates)

    def score(
        self,
        X: Any = None,  # noqa: N803  as in scikit-learn
        t: Any = None,
        *,
        trajectory: Any = None,
        lineage_weights: Any = None,
        time_key: str | Sequence[str] | None = None,
        trajectory_key: str | None = None,
        lineage_key: str | None = None,
        group_key: str | None = None,
        subject_key: str | None = None,
        layer: str | None = None,
    ) -> float:
        """Skill of forecasts of whole trajectories: 1 less their squared error over that of the best trivial forecast.

        1 is a perfect forecast; at 0 or below holding the first state, the mean of the training data, or a line in time
        forecasts as well.

        Args:
            X: trajectories that were not fitted, as for `fit`; None for the validation data of the fit.
            t: their times, as for `fit`.
            trajectory: labels, as for `fit`.
            lineage_weights: weights of lineages, as for `fit`.
            time_key: column of times, as for `fit`.
            trajectory_key: column of trajectories, as for `fit`.
            lineage_key: weights of lineages, as for `fit`.
            group_key: column of groups, as for `fit`.
            subject_key: column of subjects, as for `fit`.
            layer: layer, as for `fit`.
        """
        from sparsenode.data.observations import read_observations
        from sparsenode.estimator.scores import join_test, skill

        data = read_observations(self.adata_) if hasattr(self, "adata_") else None
        chosen = replace(self._chosen, centers=())
        assert data is not None  # noqa: S101  what is chosen was fitted
        if X is None:
            return skill(chosen, data, "validation")
        keys = {"trajectory": trajectory_key, "group": group_key, "subject": subject_key, "layer": layer}
        keys |= {"lineage_weights": lineage_key}
        test = _assemble((X, t, trajectory, lineage_weights), time_key, keys, self._read_settings(), fitted=False)
        return skill(chosen, join_test(data, read_observations(test)), "test")

    def knock_out(self, *variables: str) -> pd.DataFrame:
        """What follows from holding a variable, or several together, at zero; see `intervene`."""
        if wrong := [variable for variable in variables if not isinstance(variable, str)]:
            raise UserError(f"knock_out: found {wrong[0]!r}; give names of variables, each by itself")
        return self.intervene(dict.fromkeys(variables, 0.0))

    def intervene(self, clamp: Mapping[str, float | str], *, coverage: float = COVERAGE) -> pd.DataFrame:
        """What follows from holding variables, from the starts of the training trajectories on.

        Nothing is drawn at random, so that the same fit gives the same answer again.

        Args:
            clamp: value of each variable that is held, in the units of the data, or `low` or `high` for the least or
                the greatest of the training data.
            coverage: of the interval over members.

        Returns:
            A table, the largest effect first, of `rank`, `variable`, `effect` (the median over members of the change of
            the variable's mean over time and trajectories), `lower` and `upper` (its interval over bootstrap members,
            by Student's distribution; NaN for a single one), `relative` (the effect in standard deviations of the
            training data, by which is ranked), `agreement` (share of the members whose effect has that sign) and
            `verdict` (`up` or `down` where the interval excludes zero, else `cannot be told`, as always of fewer than
            three members). The interval tells how uncertain the model is: it knows nothing of a hidden common cause,
            or of what the model cannot express.

        Raises:
            UserError: there is no such variable, or all are held.
        """
        from sparsenode.data.observations import read_observations
        from sparsenode.interventions.effects import intervention_effects

        ensemble = replace(self._chosen, centers=())
        data = read_observations(self.adata_, networks=False)
        return intervention_effects(ensemble, data, clamp, coverage=coverage)

    def fates(
        self,
        clamp: Mapping[str, Mapping[str, float | str]],
        *,
        horizon: float = 1.0,
        starts: int = 5,
        coverage: float = COVERAGE,
    ) -> pd.DataFrame:
        """Which fates forecasts end in, without and with each intervention, from states before commitment.

        Fates are the groups of the trajectories (lineages, branches), `group_key` or lineages of `fit`.

        Args:
            clamp: named interventions, such as `{"gata1_knockout": {"Gata1": 0.0}}`, with the values of `intervene`.
            horizon: how far forecasts go, in lengths of the longest training trajectory.
            starts: states of each training trajectory that forecasts start from, at most.
            coverage: of the intervals over members.

        Returns:
            A table of `intervention`, `fate` (`none` for forecasts that end near none), `share` of the forecasts that
            end there, the share `without` the intervention, their difference `change`, its interval over members
            `lower` and `upper`, and `verdict` (up, down, cannot be told), the largest change of each first.

        Raises:
            UserError: there are fewer than two groups, or no such variable.
        """
        from sparsenode.data.observations import read_observations
        from sparsenode.interventions.fates import FateCount
        from sparsenode.interventions.intervals import check_coverage
        from sparsenode.interventions.requests import resolve_interventions
        from sparsenode.interventions.settings import InterventionSettings

        ensemble = replace(self._chosen, centers=())
        check_coverage(coverage)
        values = {name: {key: plain_value(value) for key, value in held.items()} for name, held in clamp.items()}
        options = {"clamp": values, "horizon": horizon, "starts": starts, "coverage": coverage}
        settings = read_settings(InterventionSettings, options, "fates")
        data = read_observations(self.adata_, networks=False)
        interventions = resolve_interventions(data, settings, data.name)
        return FateCount.make(data, interventions, settings).table(ensemble, coverage=coverage)

    def summary(self) -> str:
        """Data, choices, errors beside those of trivial forecasts, and what to doubt, on one screen."""
        from sparsenode.estimator.words import describe_fit

        self._check_fitted()
        return describe_fit(self)

    @property
    def plot(self) -> Plots:
        """Figures of the fit: `trajectories()`, `network()`, `path()` and all others of the workflow."""
        from sparsenode.estimator.plots import Plots

        self._check_fitted()
        return Plots(self.adata_, self.evaluation_, getattr(self, "edge_test_", None))

    def save(self, path: str | Path) -> None:
        """Write the fitted estimator to a file; `load` reads it, and nothing in it is executed."""
        from sparsenode.estimator.archive import save

        self._check_fitted()
        save(self, Path(path))

    @classmethod
    def load(cls, path: str | Path) -> SparseNODE:
        """Read a fitted estimator.

        Raises:
            UserError: the file is missing, damaged, or of another version.
        """
        from sparsenode.estimator.archive import load

        return load(cls, Path(path))


def _signature() -> inspect.Signature:
    """The signature of the constructor: every setting is a keyword, with its default."""
    parameters = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default) for name, default in PARAMETERS.items()
    ]
    first = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return inspect.Signature([first, *parameters])


SparseNODE.__init__.__signature__ = _signature()  # type: ignore[attr-defined]


def _assemble(
    arrays: tuple[Any, Any, Any, Any],
    time_key: str | Sequence[str] | None,
    keys: Mapping[str, str | None],
    settings: FitSettings,
    *,
    fitted: bool = True,
) -> AnnData:
    """The trajectories that data of any form make, checked; of those to be `fitted`, validation takes its share.

    Raises:
        UserError: the data cannot be used.
    """
    from sparsenode.data.contract import check_trajectories, has_metadata, read_h5ad
    from sparsenode.data.preprocess import assemble
    from sparsenode.data.readers.arrays import read_arrays
    from sparsenode.data.sources.anndata import AnnDataSource, read_trajectories_of
    from sparsenode.estimator.checks import check_preparation, check_raw

    values, *beside = arrays
    where = "X"
    if isinstance(values, str | Path):
        values, where = read_h5ad(Path(values)), str(values)
    options: dict[str, Any] = {}
    if time_key is not None:
        options = {"time": time_key} if isinstance(time_key, str) else {"lineage_times": list(time_key)}
    options |= {name: key for name, key in keys.items() if key is not None}
    if not (hasattr(values, "obs") and hasattr(values, "var_names")):
        if options:
            given = ", ".join(_KEYS[name] for name in options)
            raise UserError(f"{given}: for an AnnData, and X is none; give `t` and `trajectory` in their place")
        raw = read_arrays(*arrays)
    elif has_metadata(values):
        if options or any(entry is not None for entry in beside):
            raise UserError("X is an AnnData of trajectories, which brings its times; give nothing beside it")
        check_trajectories(values, where=where)
        if fitted:
            check_preparation(settings)
        return values
    else:
        if any(entry is not None for entry in beside):
            raise UserError(
                "X is an AnnData: name the columns of its `obs` by `time_key` and `trajectory_key`, and weights of "
                "lineages in its `obsm` by `lineage_key`"
            )
        if time_key is None:
            columns = ", ".join(map(str, list(values.obs.columns)[:8])) or "none"
            raise UserError(f"time_key: missing; name the column of `obs` with the times; there are: {columns}")
        source = read_settings(AnnDataSource, {"path": where, **options}, "options")
        raw = read_trajectories_of(values, source, where, {})
    if fitted:
        check_raw(raw)
    return assemble("data", raw, preparation(settings) | ({} if fitted else {"validation": {}}), {})


def _measure(adata: AnnData, ensemble: Ensemble) -> Evaluation:
    """What is measured of an ensemble on the data that it was trained on."""
    from sparsenode.data.observations import read_observations
    from sparsenode.evaluation.evaluate import evaluate_ensembles

    # What is compared with the data of the training is less the center, as these are.
    measured = replace(ensemble, centers=())
    with _threads(int(ensemble.metadata["threads"])):
        return evaluate_ensembles(read_observations(adata), [measured])


def _train(
    adata: AnnData, frozen: Mapping[str, Any], settings: FitSettings, title: str, engine: Engine = "auto"
) -> tuple[Ensemble, pd.DataFrame]:
    """Train all members, under a bar with a title; without one, quietly.

    Raises:
        KeyboardInterrupt: training was interrupted.
    """
    from sparsenode.ensemble.device import resolve_device
    from sparsenode.progress import follow_training
    from sparsenode.training.job import make_training, watch_signals

    device, plain = resolve_device(settings.device), json.loads(json.dumps(frozen))
    with _threads(settings.threads), contextlib.ExitStack() as stack:
        training = make_training(adata, plain, range(settings.seeds), device=device, memory_mb=settings.memory_mb)
        report = stack.enter_context(follow_training(title)) if title else None
        interrupted = stack.enter_context(watch_signals())
        try:
            ensemble, history = training.run(
                report=report, interrupted=interrupted, keep_interrupted=True, engine=engine
            )
        except InterruptedTrainingError as error:
            raise KeyboardInterrupt("interrupted within the warm-up: there is nothing to keep of this fit") from error
    if reasons := sorted({member.reason for member in ensemble.members if _is_interrupted(member)}):
        warnings.warn(f"{reasons[0]}: the estimator is fitted with the members as they were then", stacklevel=3)
    return ensemble, history


def _train_dense(
    adata: AnnData, frozen: Mapping[str, Any], settings: FitSettings, title: str, engine: Engine
) -> Ensemble | None:
    """The dense model beside a fit; None where it was interrupted, since a shorter training is no fair comparison."""
    try:
        with warnings.catch_warnings(record=True):
            dense, _ = _train(adata, frozen, settings, title, engine)
    except KeyboardInterrupt:
        dense = None
    if dense is None or any(map(_is_interrupted, dense.members)):
        warnings.warn("interrupted: the estimator is fitted, without the dense model beside it", stacklevel=3)
        return None
    return dense


def _is_interrupted(member: Member) -> bool:
    return member.reason.startswith("interrupted")


@contextlib.contextmanager
def _threads(count: int) -> Iterator[None]:
    """So many threads of torch within a block; afterwards as many as before."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def load(path: str | Path) -> SparseNODE:
    """Read a fitted estimator that `SparseNODE.save` wrote.

    Raises:
        UserError: the file is missing, damaged, or of another version.
    """
    return SparseNODE.load(path)
