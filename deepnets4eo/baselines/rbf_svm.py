"""One-vs-all support vector machines with a Gaussian kernel: exact, or by Nyström features for many samples.

All machines share one table of vectors: prediction is one kernel matrix times one matrix of coefficients."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin

from deepnets4eo.prefetch import in_order

SHARED_KERNEL = 6000  # samples whose kernel is computed once for all classes: 288 MB
KERNEL_VALUES = 1 << 17  # in memory at once: half a megabyte fits into the processor's cache


class RbfSvm(ClassifierMixin, BaseEstimator):
    """f_k(x) = Σ_s coef[s, k] · exp(−γ ‖x − s‖²) + intercept[k], a machine for each class against all others.

    gamma : in units of 1 / (features × their variance), so that 1 is a sound start. components : 0, exact support
    vectors (libsvm; up to some 10 000 samples), or landmarks of a Nyström approximation (Williams and Seeger, NIPS
    2000)."""

    def __init__(
        self, C: float = 1.0, gamma: float = 1.0, components: int = 0, class_weight: str | None = None, seed: int = 0
    ) -> None:
        self.C, self.gamma, self.components, self.class_weight, self.seed = C, gamma, components, class_weight, seed

    def fit(self, vectors: NDArray[np.float32], classes: ArrayLike) -> RbfSvm:
        """Fit to vectors (n, F) and their classes (n,), at least two."""
        self.classes_, index = np.unique(np.asarray(classes), return_inverse=True)
        self.n_features_in_ = vectors.shape[1]
        self.centre_ = vectors.mean(axis=0, dtype=np.float64).astype(np.float32)  # distances lose fewer digits
        centred = vectors - self.centre_
        variance = float(centred.var(dtype=np.float64))
        self.gamma_ = self.gamma / (vectors.shape[1] * variance) if variance > 0 else 1.0
        targets = range(1, 2) if len(self.classes_) == 2 else range(len(self.classes_))
        positive = [index == target for target in targets]
        (self._fit_landmarks if self.components else self._fit_exactly)(centred, positive)
        return self

    def decision_function(
        self, vectors: NDArray[np.float32], *, kernel_values: int = KERNEL_VALUES
    ) -> NDArray[np.float32]:
        """Return decision values (n, K); for two classes (n,), positive for the second. kernel_values : in memory at
        once."""
        centred = np.asarray(vectors, np.float32) - self.centre_
        rows = max(32, kernel_values // len(self.vectors_))
        parts = [
            gaussian_kernel(centred[start : start + rows], self.vectors_, self.gamma_) @ self.coef_
            for start in range(0, max(len(centred), 1), rows)
        ]
        values = np.concatenate(parts) + self.intercept_
        return values[:, 0] if len(self.classes_) == 2 else values

    def predict(self, vectors: NDArray[np.float32]) -> NDArray[Any]:
        """Return the class of the highest decision value, (n,)."""
        values = self.decision_function(vectors)
        return self.classes_[(values > 0).astype(int) if values.ndim == 1 else values.argmax(axis=1)]

    def _fit_exactly(self, centred: NDArray[np.float32], positive: list[NDArray[np.bool_]]) -> None:
        from sklearn.svm import SVC

        shared = len(centred) <= SHARED_KERNEL
        kernel = gaussian_kernel(centred, centred, self.gamma_).astype(np.float64) if shared else centred

        def fit_one(own: NDArray[np.bool_]) -> Any:
            machine = SVC(
                C=self.C, kernel="precomputed" if shared else "rbf", gamma=self.gamma_, class_weight=self.class_weight,
                cache_size=300,
            )  # fmt: skip
            return machine.fit(kernel, own)

        coefficients = np.zeros((len(centred), len(positive)), np.float64)
        intercepts = []
        for column, machine in enumerate(in_order(fit_one, positive)):
            coefficients[machine.support_, column] = machine.dual_coef_[0]
            intercepts.append(machine.intercept_[0])
        used = coefficients.any(axis=1)
        self._store(centred[used], coefficients[used], intercepts)

    def _fit_landmarks(self, centred: NDArray[np.float32], positive: list[NDArray[np.bool_]]) -> None:
        rng = np.random.default_rng(self.seed)
        chosen = np.sort(rng.choice(len(centred), min(self.components, len(centred)), replace=False))
        landmarks = centred[chosen]
        values, directions = np.linalg.eigh(gaussian_kernel(landmarks, landmarks, self.gamma_).astype(np.float64))
        kept = values > values[-1] * 1e-6  # coinciding landmarks; float32 is not more exact
        root = directions[:, kept] / np.sqrt(values[kept])
        mapped = np.concatenate(
            [
                gaussian_kernel(part, landmarks, self.gamma_) @ root
                for part in np.array_split(centred, len(centred) // 4096 + 1)
            ]
        )
        weights, intercepts = fit_linear_machines(mapped, np.stack(positive, axis=1), self.C, self.class_weight)
        self._store(landmarks, root @ weights, intercepts)

    def _store(self, vectors: NDArray[np.float32], coefficients: NDArray[np.float64], intercepts: ArrayLike) -> None:
        self.vectors_ = np.ascontiguousarray(vectors, np.float32)
        self.coef_ = coefficients.astype(np.float32)
        self.intercept_ = np.asarray(intercepts, np.float32)


def gaussian_kernel(first: NDArray[np.float32], second: NDArray[np.float32], gamma: float) -> NDArray[np.float32]:
    """Return exp(−γ ‖a − b‖²) of all pairs, (n, m) float32."""
    half = np.float32(np.sqrt(gamma))
    first, second = first * half, second * half
    ones = np.ones(len(first), np.float32), np.ones(len(second), np.float32)
    squares = -np.einsum("ij,ij->i", first, first), -np.einsum("ij,ij->i", second, second)
    left = np.column_stack([first * 2, squares[0], ones[0]])  # −‖a − b‖² as one product, which saves passes over it
    right = np.column_stack([second, ones[1], squares[1]])
    exponent = left @ right.T
    return np.exp(np.minimum(exponent, 0, out=exponent), out=exponent)


def fit_linear_machines(
    vectors: NDArray[np.floating], positive: NDArray[np.bool_], penalty: float, class_weight: str | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return weights (F, K) and intercepts (K,) that minimise ½‖w‖² + C Σ max(0, 1 − y f)², one machine a column of
    `positive`.

    L-BFGS on all at once takes seconds where liblinear takes minutes."""
    from scipy.optimize import minimize

    design = np.column_stack([vectors, np.ones(len(vectors))]).astype(np.float32)
    signs = np.where(positive, 1, -1).astype(np.float32)
    costs = np.full(positive.shape, penalty, np.float32)
    if class_weight == "balanced":
        shares = positive.mean(axis=0)
        costs *= np.where(positive, 0.5 / shares, 0.5 / (1 - shares)).astype(np.float32)

    def loss(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        weights = flat.reshape(design.shape[1], -1)
        short = np.maximum(1 - signs * (design @ weights.astype(np.float32)), 0)
        gradient = weights - 2 * (design.T @ (costs * signs * short))
        value = 0.5 * (weights**2).sum() + (costs * short * short).sum(dtype=np.float64)
        return float(value), gradient.ravel()

    start = np.zeros(design.shape[1] * positive.shape[1])
    solution = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 300, "ftol": 1e-7}).x
    solution = solution.reshape(design.shape[1], -1)
    return solution[:-1], solution[-1]
