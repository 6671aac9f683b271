"""LogME, the H-score and SFDA, each against an independent computation."""

from __future__ import annotations

import numpy as np
import pytest

from zoo_core.advising.scores import FloatArray, h_score, ledoit_wolf, logme, sfda

Sample = tuple[FloatArray, np.ndarray, int]


@pytest.fixture(params=[(40, 5, 3), (12, 20, 2)], ids=["more images than features", "more features than images"])
def sample(request: pytest.FixtureRequest) -> Sample:
    """Features that tell classes apart by half: N x F, classes, and their number."""
    images, width, classes = request.param
    generator = np.random.default_rng(5)
    targets = np.arange(images) % classes
    features = generator.normal(size=(images, width)) * np.linspace(0.2, 2, width)
    features[:, 0] += 1.5 * targets
    return features, targets, classes


def test_logme_is_the_highest_evidence_that_a_search_over_both_precisions_finds(sample: Sample) -> None:
    """The evidence is the density of y under N(0, I / b + F F' / a), written out."""
    features, targets, classes = sample
    kernel = features @ features.T
    images = len(targets)

    def log_density(label: int, log_a: float, log_b: float) -> float:
        y = (targets == label).astype(float)
        covariance = np.eye(images) / np.exp(log_b) + kernel / np.exp(log_a)
        return -0.5 * float(
            images * np.log(2 * np.pi) + np.linalg.slogdet(covariance)[1] + y @ np.linalg.solve(covariance, y)
        )

    highest = []
    for label in range(classes):
        centre, width, best = np.zeros(2), 12.0, -np.inf
        for _ in range(14):  # a grid around the best place so far, each half as wide
            grid = [centre + width * np.array([i, j]) / 5 for i in range(-5, 6) for j in range(-5, 6)]
            found = [log_density(label, *place) for place in grid]
            centre, best, width = grid[int(np.argmax(found))], max(found), width / 2
        highest.append(best / images)
    assert logme(features, targets, classes) == pytest.approx(np.mean(highest), abs=2e-4)


def test_the_h_score_is_the_trace_of_its_formula(sample: Sample) -> None:
    features, targets, classes = sample
    centred = features - features.mean(0)
    covariance = sum(np.outer(row, row) for row in centred) / len(centred)
    between = np.zeros_like(covariance)
    for label in range(classes):
        mean = centred[targets == label].mean(0)
        between += (targets == label).mean() * np.outer(mean, mean)
    size = len(covariance)
    middle = np.trace(covariance) / size * np.eye(size)
    spread = sum(np.sum((np.outer(row, row) - covariance) ** 2) for row in centred) / len(centred) ** 2
    share = min(spread, np.sum((covariance - middle) ** 2)) / np.sum((covariance - middle) ** 2)
    assert 0 < share <= 1
    assert ledoit_wolf(centred, covariance) == pytest.approx(share)
    expected = (1 - share) * np.trace(np.linalg.pinv((1 - share) * covariance + share * middle) @ between)
    assert h_score(features, targets, classes) == pytest.approx(expected)


def test_sfda_follows_the_equations_of_the_paper(sample: Sample) -> None:
    """Word for word: eigenvectors of the scatter between classes, image by image."""
    features, targets, classes = sample
    features = 0.3 * features  # so that the regularisation counts

    def discriminant(rows: FloatArray, strength: float | None) -> tuple[FloatArray, float]:
        means = np.array([rows[targets == label].mean(0) for label in range(classes)])
        shares = np.array([(targets == label).mean() for label in range(classes)])
        within = sum(
            share * np.cov(rows[targets == label].T, bias=True)
            for label, share in zip(range(classes), shares, strict=True)
        )
        if strength is None:
            strength = max(np.exp(-5 * np.linalg.eigvalsh(within).max()), 1e-10)
        size = len(within)
        regular = (1 - strength) * within + strength * np.trace(within) / size * np.eye(size)
        between = sum(share * np.outer(mean, mean) for share, mean in zip(shares, means - shares @ means, strict=True))
        root = np.linalg.inv(np.linalg.cholesky(regular))
        directions = root.T @ np.linalg.eigh(root @ between @ root.T)[1]  # U with U' W U = I
        found = np.empty((len(rows), classes))
        for place, row in enumerate(rows):
            scores = [
                row @ directions @ directions.T @ mean - 0.5 * mean @ directions @ directions.T @ mean + np.log(share)
                for mean, share in zip(means, shares, strict=True)
            ]
            found[place] = np.exp(scores) / np.sum(np.exp(scores))
        return found, float(strength)

    first, strength = discriminant(features, None)
    assert 1e-6 < strength < 1
    mixed = features.copy()
    for place, label in enumerate(targets):
        certain = np.exp(first[place, label]) / np.exp(first[place]).sum()
        others = np.mean([features[targets == other].mean(0) for other in range(classes) if other != label], axis=0)
        mixed[place] = certain * features[place] + (1 - certain) * others
    second, _ = discriminant(mixed, strength)
    expected = np.mean([second[place, label] for place, label in enumerate(targets)])
    assert sfda(features, targets, classes) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("score", [logme, h_score, sfda])
def test_a_score_is_higher_for_features_that_tell_the_classes_apart(score: object) -> None:
    targets = np.arange(60) % 3
    noise = np.random.default_rng(0).normal(size=(60, 4))
    telling = noise + 3 * np.eye(4)[targets]
    assert callable(score)
    assert score(telling, targets, 3) > score(noise, targets, 3)


@pytest.mark.parametrize("score", [logme, h_score, sfda])
def test_a_score_of_features_that_never_vary_is_a_number(score: object) -> None:
    assert callable(score)
    for constant in (0.0, 1.0):
        assert np.isfinite(score(np.full((8, 3), constant), np.arange(8) % 2, 2))
