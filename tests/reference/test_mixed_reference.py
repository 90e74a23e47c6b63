"""The mixed model against statsmodels' MixedLM (REML) on a simulated registry."""

import warnings

import numpy as np
import pytest

from keyhole.comparison.mixed import Block, fit
from keyhole.comparison.simulate import Settings, simulate


@pytest.fixture(scope="module")
def registry():
    table = simulate(Settings(2000, 3, missing="none")).table
    y, arm = table["odi_12m"], table["miss"]
    X = np.column_stack([np.ones(len(y)), arm, (table["odi_0"] - 45) / 16])
    centre, surgeon = (np.unique(table[name].astype(str), return_inverse=True)[1] for name in ("centre", "surgeon"))
    return y, X, centre, surgeon


@pytest.mark.slow
def test_fixed_effects_sds_predictions_and_likelihood_are_those_of_statsmodels(registry):
    pandas = pytest.importorskip("pandas")
    formula = pytest.importorskip("statsmodels.formula.api")
    y, X, centre, surgeon = registry
    one = np.ones(len(y))
    own = fit(X, y, [Block(centre, 8, one), Block(surgeon, 24, one)])
    frame = pandas.DataFrame({"y": y, "arm": X[:, 1], "before": X[:, 2], "c": centre, "s": surgeon})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its search says that it failed; where it stops is the optimum all the same
        model = formula.mixedlm("y ~ arm + before", frame, groups="c", re_formula="1", vc_formula={"s": "0 + C(s)"})
        theirs = model.fit()
    assert own.fixed == pytest.approx(theirs.fe_params.to_numpy(), abs=2e-4)
    assert np.sqrt(np.diag(own.covariance))[1:] == pytest.approx(theirs.bse_fe.to_numpy()[1:], rel=2e-3)
    assert own.sds[0] ** 2 == pytest.approx(float(theirs.cov_re.iloc[0, 0]), abs=2e-2)
    assert own.sds[1] ** 2 == pytest.approx(float(theirs.vcomp[0]), abs=2e-2)
    assert own.residual**2 == pytest.approx(theirs.scale, rel=1e-4)
    assert own.criterion == pytest.approx(-2 * theirs.llf, abs=1e-4)
    predicted = [theirs.random_effects[k].iloc[0] for k in range(8)]
    assert own.effects[0] == pytest.approx(predicted, abs=5e-3)


def test_with_no_spread_between_groups_it_is_least_squares():
    rng = np.random.default_rng(1)
    group = np.arange(300) % 10
    x, noise = (v - (np.bincount(group, v) / 30)[group] for v in rng.standard_normal((2, 300)))  # groups made alike
    X = np.column_stack([np.ones(300), x])
    y = X @ [1.0, 2.0] + noise
    own = fit(X, y, [Block(group, 10, np.ones(300))])
    assert own.sds == (0.0,)
    assert own.fixed == pytest.approx(np.linalg.lstsq(X, y, rcond=None)[0], abs=1e-8)
    assert not own.effects[0].any()


def test_the_search_goes_lower_than_statsmodels_where_an_effect_does_not_vary(registry):
    y, X, centre, surgeon = registry
    one = np.ones(len(y))
    with_slope = fit(X, y, [Block(centre, 8, one), Block(centre, 8, X[:, 1]), Block(surgeon, 24, one)])
    without = fit(X, y, [Block(centre, 8, one), Block(surgeon, 24, one)])
    assert with_slope.criterion <= without.criterion + 1e-6
