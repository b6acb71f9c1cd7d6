"""What turns a trained model into a folder for the Hub: the model card and the loader file."""
