"""A trained run in use: exported, predicted with, served.

In: the folder of a completed run. Out: a bundle (model, class names, model card), and its predictions.
May import: training and what training may import; bundle/ and serve/ never import training.

bundle/         a trained model as a folder to ship: its files, runtimes and predictions
temperature.py  the temperature of a bundle, fitted on validation logits
export/         writes a bundle, in any format
serve/          serves a bundle over HTTP
"""
