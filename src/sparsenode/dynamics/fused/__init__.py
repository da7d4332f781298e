"""The loss of many small solves and its gradients by one compiled loop, where a C compiler is at hand."""
