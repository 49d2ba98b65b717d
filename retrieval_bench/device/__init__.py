"""Search, clustering and coding on a GPU, or by the same torch code on the CPU.

Every operation has one meaning and up to two forms: a Triton kernel where there is a GPU, and plain torch. The tests
hold the two together; on a machine without a GPU the kernels run in Triton's interpreter.
"""
