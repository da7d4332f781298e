"""`model: auto`: the settings of a model from its training and validation data, each with its reason in words.

`facts` measures what the choices look at, `rules` has one function a choice, `record` is what they give, `choose` asks
one after the other. Neither test data nor a true network is looked at.
"""
