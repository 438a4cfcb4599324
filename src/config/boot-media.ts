// What reading the configuration needs of virtual media. Mounting them is the business of src/disk, which stands above.

export interface BootMedia {
  /** Copies the configuration files of the boot ISO to this machine's /etc. Without an ISO it does nothing. */
  copyConfiguration(): Promise<void>;
  /** The text of parameters.txt and the device it is from; null when there is none. */
  readParameters(): Promise<{ readonly text: string; readonly device: string } | null>;
}
