"""Uneven classes: weights, balanced batches and adjusted logits, in the loss, the loop and the probe."""

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest

from bakeoff.data.batches import Split, train_batches
from bakeoff.data.order import balanced_order
from bakeoff.errors import ConfigError
from bakeoff.files import cache_dir
from bakeoff.runs.calibration import calibration_error, cross_fit, fit_temperature, softmax
from bakeoff.runs.config import Augment, Balance, Run
from bakeoff.runs.history import read_history
from bakeoff.training.balance import EFFECTIVE_BETA, LossBalance, balance_loss, class_weights, log_priors
from bakeoff.training.folds import cross_fit as cross_fit_heads
from bakeoff.training.head import fit_head
from bakeoff.training.inference import compile_forward, predict_logits
from bakeoff.training.loop import train
from bakeoff.training.probe import initialise_head, probe
from bakeoff.training.task import open_task

LABELS = np.repeat(np.arange(3, dtype=np.int32), [40, 8, 2])
PLAIN = Augment(policy="none")
rng = np.random.default_rng(0)


def test_weights_are_inverse_to_the_numbers_of_images_and_their_mean_is_one():
    weights = class_weights(Balance.WEIGHTS, LABELS, 4)
    assert weights == pytest.approx([50 / (3 * 40), 50 / (3 * 8), 50 / (3 * 2), 0])
    assert weights[LABELS].mean() == pytest.approx(1)
    # A sampler draws an image as often as its weight says.
    assert class_weights(Balance.SAMPLER, LABELS, 4) == pytest.approx(weights)
    assert class_weights(Balance.NONE, LABELS, 4) is class_weights(Balance.LOGITS, LABELS, 4) is None


def test_the_effective_number_of_images_evens_out_less():
    weights = class_weights(Balance.EFFECTIVE, np.repeat(np.arange(3), [1000, 100, 10]), 3)
    effective = np.array([(1 - EFFECTIVE_BETA**count) / (1 - EFFECTIVE_BETA) for count in (1000, 100, 10)])
    assert weights * effective == pytest.approx(np.full(3, weights[0] * effective[0]))
    assert 9 < weights[2] / weights[0] < 11 < 100
    assert weights @ [1000, 100, 10] / 1110 == pytest.approx(1)


def test_the_prior_of_a_class_without_images_is_the_largest():
    assert log_priors(LABELS, 4) == pytest.approx(np.log([0.8, 0.16, 0.04, 0.8]))


TARGETS = np.array([[1, 0, 0], [0, 0, 1], [0.75, 0, 0.25], [0, 1, 0]], np.float32)
LOGITS = rng.normal(size=(4, 3)).astype(np.float32)
SMOOTHING = 0.1


def _gradients(loss_balance):
    """Losses of the images, and the gradient of each with respect to its logits."""
    import tensorflow as tf

    logits = tf.constant(LOGITS)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        losses = loss_balance.losses(tf.constant(TARGETS), logits, SMOOTHING)
    return losses.numpy(), tape.gradient(losses, logits).numpy()


@pytest.mark.parametrize("balance", [Balance.NONE, Balance.WEIGHTS, Balance.EFFECTIVE, Balance.LOGITS])
def test_losses_and_gradients_are_those_by_hand(balance):
    """The loss of a mixed image is the mixture of the weighted losses of its classes, each with its smooth target."""
    weights = class_weights(balance, LABELS, 3)
    weights = np.ones(3) if weights is None else weights
    adjusted = LOGITS + (log_priors(LABELS, 3) if balance is Balance.LOGITS else 0)
    probabilities = softmax(adjusted)
    losses, gradients = np.zeros(4), np.zeros((4, 3))
    for image, label in np.argwhere(TARGETS):
        smooth = np.full(3, SMOOTHING / 3)
        smooth[label] += 1 - SMOOTHING
        share = TARGETS[image, label] * weights[label]
        losses[image] -= share * smooth @ np.log(probabilities[image])
        gradients[image] += share * (probabilities[image] - smooth)
    found_losses, found_gradients = _gradients(balance_loss(balance, LABELS, 3))
    assert found_losses == pytest.approx(losses, rel=1e-5)
    np.testing.assert_allclose(found_gradients, gradients, atol=1e-6)


def test_a_sampler_leaves_the_loss_as_it_is():
    assert balance_loss(Balance.SAMPLER, LABELS, 3) == balance_loss(Balance.NONE, LABELS, 3) == LossBalance()


def _split(labels):
    images = np.zeros((len(labels), 2, 2, 3), np.uint8) + np.arange(len(labels), dtype=np.uint8)[:, None, None, None]
    return Split(images, labels, [str(label) for label in labels])


def test_balanced_batches_show_every_class_equally_often():
    batches = list(islice(train_batches(_split(LABELS), 3, 10, PLAIN, seed=0, balanced=True), 5))
    labels = np.concatenate([targets.argmax(axis=1) for _, targets in batches])
    assert np.bincount(labels).tolist() in ([17, 17, 16], [17, 16, 17], [16, 17, 17])
    for targets in (targets for _, targets in batches):
        assert targets.sum(axis=0).min() >= 2  # two whole rounds at least
    images = np.concatenate([images[:, 0, 0, 0] for images, _ in batches])
    assert np.array_equal(LABELS[images], labels)


def test_all_images_of_a_class_are_used_before_one_is_used_again():
    order = balanced_order(LABELS, np.random.default_rng(0))
    for label, count in ((0, 40), (1, 8), (2, 2)):
        of_class = np.flatnonzero(label == LABELS)
        used = np.bincount(order, minlength=len(LABELS))[of_class]
        assert used.max() - used.min() <= 1
        assert used.sum() >= 16
        assert len(used) == count


def test_balanced_epochs_differ_and_any_batch_can_be_made_again():
    whole = list(islice(train_batches(_split(LABELS), 3, 8, Augment(), seed=3, balanced=True), 14))
    rest = list(islice(train_batches(_split(LABELS), 3, 8, Augment(), seed=3, start=9, balanced=True), 5))
    for (images, targets), (same_images, same_targets) in zip(whole[9:], rest, strict=True):
        assert np.array_equal(images, same_images)
        assert np.array_equal(targets, same_targets)
    first, second = (balanced_order(LABELS, np.random.default_rng([3, 0, epoch])) for epoch in (0, 1))
    assert not np.array_equal(first, second)


@pytest.mark.parametrize("present", [[0], [2], [0, 2]])
def test_classes_without_images_are_left_out_of_balanced_batches(present):
    labels = np.repeat(np.array(present, np.int32), 6)
    (_, targets), *_ = islice(train_batches(_split(labels), 3, len(labels), PLAIN, seed=0, balanced=True), 1)
    assert targets.sum(axis=0).tolist() == [6 * (label in present) for label in range(3)]


# The loop, on digits of which the first are the most.
LENET = Run().revised(
    model={"name": "lenet", "size": 32, "dropout": 0.0},
    augment={"policy": "none"},
    optim={"name": "sgd", "ema": 0.0},
    train={"epochs": None, "images": 48, "batch": 48, "evaluations": 1},
)
SIZES = np.array([100, 66, 43, 28, 18, 12, 8, 5, 3, 2])


@pytest.fixture
def begin(shards, tmp_path):
    """Opens the task of a run on an uneven part of the digits."""

    def open_with(sizes=SIZES, run=LENET, **changes):
        task = open_task(run.revised(**changes), tmp_path, shards, lambda _: None)
        labels = task.train.labels
        kept = [np.flatnonzero(labels == label)[:size] for label, size in enumerate(sizes)]
        return replace(task, train=task.train.take(np.sort(np.concatenate(kept))))

    return open_with


@pytest.mark.kernels
@pytest.mark.parametrize("balance", list(Balance))
@pytest.mark.parametrize("micro_batch", [48, 20])
def test_the_first_loss_of_a_run_is_that_of_its_starting_weights(begin, balance, micro_batch):
    task = replace(begin(train={"balance": balance}), micro_batch=micro_batch)
    labels = task.train.labels
    is_sampler = balance is Balance.SAMPLER
    images, targets = next(train_batches(task.train, 10, 48, PLAIN, seed=0, balanced=is_sampler))
    logits = compile_forward(task.network.model(32))(images)
    if balance is Balance.LOGITS:
        logits = logits + log_priors(labels, 10)
    smooth = 0.9 * targets + 0.1 / 10
    losses = -(smooth * np.log(softmax(logits))).sum(axis=1)
    if balance in (Balance.WEIGHTS, Balance.EFFECTIVE):
        losses *= class_weights(balance, labels, 10)[targets.argmax(axis=1)]
    train(task)
    (row,) = read_history(task.folder)
    assert row.train_loss == pytest.approx(losses.mean(), rel=1e-4)


@pytest.mark.kernels
def test_the_model_of_a_balanced_run_has_no_part_of_the_balance(begin):
    task = begin(train={"balance": "logits", "images": 480})
    outcome = train(task)
    again = predict_logits(compile_forward(outcome.model), task.val)
    np.testing.assert_allclose(outcome.val_logits, again, atol=1e-5)


@pytest.mark.kernels
@pytest.mark.slow
def test_a_balanced_run_predicts_the_small_classes_more_often(begin):
    optim, small = {"name": "adamw", "ema": 0.9}, {}
    for balance in Balance:
        logits = train(begin(optim=optim, train={"images": 1920, "balance": balance})).val_logits
        small[balance] = np.mean(logits.argmax(axis=1) >= 5)
    plain = small.pop(Balance.NONE)
    assert min(small.values()) > plain + 0.05


@pytest.mark.kernels
def test_a_class_without_images_is_named_and_not_predicted(begin):
    outcome = train(begin([60, 30, 10, 0, 0, 0, 0, 0, 0, 0], train={"balance": "logits", "images": 960}))
    assert outcome.note == "train.balance = logits: 7 of 10 classes have no training images"
    assert set(outcome.val_logits.argmax(axis=1)) <= {0, 1, 2}


# A probe, of features that overlap.
FEATURES_OF = 6


def _features(sizes, seed):
    generator = np.random.default_rng(seed)
    labels = np.repeat(np.arange(3, dtype=np.int32), sizes)
    labels = generator.permutation(labels)
    features = generator.normal(size=(len(labels), FEATURES_OF)) + 1.2 * np.eye(FEATURES_OF)[labels]
    return features.astype(np.float32), labels


@pytest.mark.parametrize("balance", list(Balance))
def test_a_head_fits_the_shares_that_its_balance_stands_for(balance):
    """With a free bias, the weighted mean of the probabilities is the weighted share of each class."""
    features, labels = _features([400, 80, 20], 0)
    logits = fit_head(features, labels, 3, balance).logits(features)
    if balance is Balance.LOGITS:
        logits = logits + log_priors(labels, 3)
    weights = class_weights(balance, labels, 3)
    weights = np.ones(len(labels)) if weights is None else weights[labels]
    shares = np.bincount(labels, weights) / len(labels)
    assert np.average(softmax(logits), axis=0, weights=weights) == pytest.approx(shares, abs=0.01)


def test_logits_are_adjusted_by_the_logarithm_of_each_share():
    features, labels = _features([400, 80, 20], 0)
    plain, adjusted = (fit_head(features, labels, 4, balance) for balance in (Balance.NONE, Balance.LOGITS))
    assert np.array_equal(plain.kernel, adjusted.kernel)
    assert plain.bias[:3] - adjusted.bias[:3] == pytest.approx(np.log([0.8, 0.16, 0.04]), abs=1e-5)
    # The class without images is the least likely one still.
    assert adjusted.bias[3] == adjusted.bias.min()


def test_the_heads_of_folds_keep_to_the_balance():
    features, labels = _features([400, 80, 20], 0)
    folds = np.arange(len(labels)) % 5
    plain, adjusted = (
        cross_fit_heads(features, labels, 3, folds, balance=balance) for balance in (Balance.NONE, Balance.LOGITS)
    )
    for fold in range(5):
        priors = log_priors(labels[folds != fold], 3)
        np.testing.assert_allclose((plain - adjusted)[folds == fold] - priors, 0, atol=1e-5)


@pytest.mark.parametrize("balance", list(Balance))
def test_a_temperature_fitted_on_images_of_the_same_shares_makes_confidence_right_for_them(balance):
    head = fit_head(*_features([1600, 320, 80], 0), 3, balance)
    features, labels = _features([1600, 320, 80], 1)
    logits = head.logits(features)
    temperature = fit_temperature(logits, labels)

    def log_loss(temperature):
        return -np.log(softmax(logits / temperature)[np.arange(len(labels)), labels]).mean()

    assert log_loss(temperature) <= min(log_loss(temperature * factor) for factor in (0.9, 1 / temperature, 1.1))
    after = softmax(cross_fit(logits, labels))
    confidence, predicted = after.max(axis=1), after.argmax(axis=1)
    assert calibration_error(confidence, predicted == labels) < 0.1
    assert abs(confidence.mean() - (predicted == labels).mean()) < 0.05
    too_high = [(confidence - (predicted == labels))[predicted == label].mean() for label in range(3)]
    if balance in (Balance.WEIGHTS, Balance.SAMPLER, Balance.LOGITS):
        # As the documentation and the model card say.
        assert too_high[0] < 0 < too_high[2]


@pytest.fixture
def probing(begin):
    """Makes the task of a probe, or of a network whose head starts from one; all share a network."""
    task = begin()
    return lambda **changes: replace(task, run=task.run.revised(train={"probe_images": int(SIZES.sum())} | changes))


@pytest.mark.kernels
def test_a_probe_keeps_to_the_balance_of_its_config(probing):
    found = {balance: probe(probing(mode="probe", images=None, balance=balance)).val_logits for balance in Balance}
    plain, priors = found[Balance.NONE], log_priors(np.repeat(np.arange(10), SIZES), 10)
    np.testing.assert_allclose(plain - found[Balance.LOGITS], np.tile(priors, (len(plain), 1)), atol=1e-3)
    assert np.array_equal(found[Balance.WEIGHTS], found[Balance.SAMPLER])
    for balance in (Balance.WEIGHTS, Balance.EFFECTIVE):
        assert np.abs(found[balance] - plain).max() > 0.01


@pytest.mark.kernels
def test_the_head_that_training_starts_from_keeps_to_the_balance(probing):
    heads = []
    for balance in (Balance.NONE, Balance.WEIGHTS, Balance.LOGITS):
        task = probing(balance=balance)
        initialise_head(task)
        heads.append(task.network.head.get_weights())
    assert len(list((cache_dir() / "features").glob("*-head.npz"))) == 3
    assert np.abs(heads[1][0] - heads[0][0]).max() > 1e-3
    assert np.array_equal(heads[2][0], heads[0][0])
    assert not np.array_equal(heads[2][1], heads[0][1])


def test_a_probe_of_images_of_one_class_is_refused():
    with pytest.raises(ConfigError, match="all 9 training images of the probe are of one class"):
        fit_head(rng.normal(size=(9, 4)).astype(np.float32), np.full(9, 2, np.int32), 3)
