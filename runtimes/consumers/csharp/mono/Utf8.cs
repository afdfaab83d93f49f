using System;
using System.Runtime.InteropServices;
using System.Text;

/// <summary>Text as C libraries take and give it: UTF-8 that ends with a zero.</summary>
internal static class Utf8
{
    internal static byte[] Bytes(string text)
    {
        return Encoding.UTF8.GetBytes(text + "\0");
    }

    internal static string Text(IntPtr bytes)
    {
        int length = 0;
        while (Marshal.ReadByte(bytes, length) != 0)
        {
            length++;
        }
        byte[] copy = new byte[length];
        Marshal.Copy(bytes, copy, 0, length);
        return Encoding.UTF8.GetString(copy);
    }
}
