"""Why is a Transformer built as it is? python -m studies.questions"""
