"""The figures: from the rows of the tables to SVG.

`register` names them all, `subject` holds what they are drawn from, `style` how they look, `svg` how they are saved.
`grid` draws values along durations or batch sizes, a panel each of the others; `cells` says which values. `pareto` and
`bottlenecks` are figures of their own kinds.
"""
