import keras
import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score, top_k_accuracy_score
from sklearn.metrics import confusion_matrix as sklearn_confusion
from sklearn.metrics import log_loss as sklearn_log_loss

from bakeoff.data.batches import Split
from bakeoff.runs.calibration import softmax
from bakeoff.runs.metrics import confusion_matrix, describe_absent, score
from bakeoff.runs.predictions import Predictions, read_predictions, round_logits, write_predictions
from bakeoff.training.inference import compile_forward, predict_logits


@pytest.fixture
def predictions():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 7, 300).astype(np.int32)
    logits = rng.normal(size=(300, 7)).astype(np.float32)
    logits[np.arange(300), labels] += 1.5
    return logits, labels


def test_scores_agree_with_scikit_learn(predictions):
    logits, labels = predictions
    metrics = score(logits, labels, None)
    assert metrics.n == 300
    assert metrics.top1 == pytest.approx((logits.argmax(1) == labels).mean())
    assert metrics.top5 == pytest.approx(top_k_accuracy_score(labels, logits, k=5))
    assert metrics.log_loss == pytest.approx(sklearn_log_loss(labels, softmax(logits)), rel=1e-5)
    assert metrics.macro_f1 == pytest.approx(f1_score(labels, logits.argmax(1), average="macro"))
    assert metrics.balanced_accuracy == pytest.approx(balanced_accuracy_score(labels, logits.argmax(1)))
    assert metrics.superclass_top1 is None
    assert metrics.absent == ()
    assert metrics.top1_ci95[0] < metrics.top1 < metrics.top1_ci95[1]


@pytest.mark.parametrize(("most", "kept"), [(6e4, False), (7e4, True), (1e9, True)])
def test_logits_that_half_precision_cannot_hold_are_stored_as_they_are(tmp_path, most, kept):
    logits = np.array([[most, 0.1], [0.3, -most]], np.float32)
    rounded = round_logits(logits)
    assert np.array_equal(rounded, logits) == kept
    labels = np.array([0, 1], np.int32)
    write_predictions(tmp_path, Predictions(rounded, labels))
    assert np.array_equal(read_predictions(tmp_path, "val").logits, rounded)
    metrics = score(rounded, labels, None)
    assert metrics.top1 == 0.5
    assert np.isfinite(metrics.log_loss)


def test_a_class_without_images_is_named_and_lowers_no_mean():
    logits = np.eye(4, dtype=np.float32)[[0, 0, 2, 3]]
    metrics = score(logits, np.array([0, 0, 2, 2], np.int32), None)
    assert metrics.absent == (1, 3)
    # Of class 2, one image of two is found: F1 is 2/3, recall is 1/2.
    assert metrics.macro_f1 == pytest.approx((1 + 2 / 3) / 2)
    assert metrics.balanced_accuracy == pytest.approx((1 + 1 / 2) / 2)
    (sentence,) = describe_absent("test", metrics, ["ant", "bee", "cat", "dog"])
    assert sentence.startswith("No test image shows these classes: bee, dog. ")
    assert sentence.endswith("are means over the other 2.")
    assert describe_absent("test", score(logits, np.array([0, 1, 2, 3], np.int32), None), ["ant"]) == []


def test_the_confusion_matrix_has_true_classes_as_rows(predictions):
    logits, labels = predictions
    assert np.array_equal(confusion_matrix(logits, labels), sklearn_confusion(labels, logits.argmax(1)))


def test_a_mistake_inside_the_superclass_counts_for_it():
    logits = np.eye(4, dtype=np.float32)[[1, 2]]
    metrics = score(logits, np.array([0, 0], np.int32), [0, 0, 1, 1])
    assert metrics.top1 == 0
    assert metrics.superclass_top1 == 0.5


def test_confident_correct_predictions_are_calibrated_and_confident_mistakes_are_not():
    logits = 50 * np.eye(3, dtype=np.float32)[[0, 1, 2, 0]]
    assert score(logits, np.array([0, 1, 2, 0], np.int32), None).ece == pytest.approx(0, abs=1e-6)
    assert score(logits, np.array([1, 2, 0, 1], np.int32), None).ece == pytest.approx(1, abs=1e-6)


def test_prediction_keeps_order_over_batches_and_counts_images():
    inputs = keras.Input((2, 2, 3), dtype="uint8")
    model = keras.Model(inputs, keras.layers.Flatten()(keras.layers.Rescaling(1.0)(inputs)))
    images = np.random.default_rng(0).integers(0, 256, (300, 2, 2, 3), np.uint8)
    split = Split(images, np.zeros(300, np.int32), [str(i) for i in range(300)])
    counted = []
    outputs = predict_logits(compile_forward(model), split, on_batch=counted.append)
    assert np.array_equal(outputs, images.reshape(300, -1).astype(np.float32))
    assert sum(counted) == 300


def test_with_flipping_mirror_images_have_equal_logits():
    inputs = keras.Input((4, 4, 3), dtype="uint8")
    model = keras.Model(inputs, keras.layers.Dense(5)(keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(inputs))))
    images = np.random.default_rng(0).integers(0, 256, (6, 4, 4, 3), np.uint8)
    forward = compile_forward(model)
    both = [
        predict_logits(forward, Split(each, np.zeros(6, np.int32), list("abcdef")), flip=True)
        for each in (images, np.ascontiguousarray(images[:, :, ::-1]))
    ]
    assert np.allclose(both[0], both[1], atol=1e-5)
    assert np.allclose(np.exp(both[0]).sum(axis=1), 1, atol=1e-5)
