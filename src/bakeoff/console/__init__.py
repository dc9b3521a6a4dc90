"""What a person sees on a terminal or in a notebook while something runs, and tables to print.

bars.py     a bar for each step that counts
data.py     the size of a data set, and what was unusual about it
plans.py    what a study is about to do
live.py     a study under way: a line for each finished run, a bar for each run in progress
results.py  what a study found, and other tables
watch.py    the board of a study that runs in another process

Progress goes to standard error. The command line draws with this, and so do the functions of `bakeoff.api` with
`progress=True`. Import from the modules: `bars` and `data` are light, the others load what studies need.
"""
