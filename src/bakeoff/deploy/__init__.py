"""A run in use.

In: the folder of a completed run. Out: a bundle (model, class names, card), and answers from it.
May import: training and what training may import; bundle/ and serve/ never import training.

bundle/   the folder that is shipped: opened, checked, asked
export/   how a bundle is written, in each format
serve/    a bundle over HTTP
"""
